"""A WebSocket room server in FastAPI that shares its rooms with Roomcast's gateways, over Redis or RabbitMQ.

    BROADCAST_TRANSPORT=redis REDIS_URL=redis://127.0.0.1:6379 uvicorn app:app --port 8000
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import uuid
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError, field_validator

from messages import Message, TooLarge, compact
from rabbitmq_broker import RabbitmqBroker
from redis_broker import RedisBroker
from rooms import Rooms

NAME = r"^[A-Za-z0-9_:.@-]{1,128}$"
EVENT = r"^(?!room:|server:)(?!(connect|connect_error|disconnect|disconnecting|newListener|removeListener)$)[\s\S]{1,128}$"
ID = r"^[ -~]{1,128}$"


class Said(BaseModel):
    """What somebody wants to say."""

    model_config = {"regex_engine": "python-re"}
    event: Annotated[str, Field(pattern=EVENT)]
    data: Any = None
    id: Annotated[str | None, Field(pattern=ID)] = None

    @field_validator("data")
    @classmethod
    def is_json(cls, data: Any) -> Any:
        """Python reads NaN, Infinity and 1e999, which nobody else does."""
        compact(data)
        return data


def make_broker(rooms: Rooms) -> RedisBroker | RabbitmqBroker:
    """What the same variables say to a gateway."""
    origin = os.environ.get("INSTANCE_ID", f"fastapi-{uuid.uuid4().hex[:8]}")
    prefix = os.environ.get("BROADCAST_PREFIX", "")
    transport = os.environ.get("BROADCAST_TRANSPORT", "redis")
    if transport == "rabbitmq":
        url = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672")
        return RabbitmqBroker(url, rooms, origin=origin, prefix=prefix)
    if transport == "redis":
        url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
        # The same as on the gateways: whoever speaks in a room has to agree on whether it has a history.
        size = int(os.environ.get("HISTORY_SIZE", "200"))
        ttl = int(os.environ.get("HISTORY_TTL_MS", "600000"))
        return RedisBroker(url, rooms, origin=origin, prefix=prefix, history_size=size, history_ttl=ttl)
    raise SystemExit(f"BROADCAST_TRANSPORT: expected redis or rabbitmq, not {transport}.")


rooms = Rooms()


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.broker = make_broker(rooms)
    await app.state.broker.start()
    yield
    await app.state.broker.close()


app = FastAPI(title="Rooms", lifespan=lifespan)


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
    # Without what was sent, which FastAPI would say again: it may be what cannot be said.
    wrong = [{"loc": each["loc"], "msg": each["msg"], "type": each["type"]} for each in error.errors()]
    return JSONResponse({"detail": wrong}, status_code=422)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/rooms/{room}/messages", status_code=201)
async def say(room: Annotated[str, Path(pattern=NAME)], said: Said) -> dict[str, str]:
    try:
        return {"id": await app.state.broker.publish(room, Message(said.event, said.data, id=said.id))}
    except TooLarge as error:
        raise HTTPException(413, str(error)) from error
    except Exception as error:
        logging.warning("could not publish: %s", error)
        raise HTTPException(503, "The broker is away: try again, with the same id.") from error


@app.websocket("/rooms/{room}")
async def talk(websocket: WebSocket, room: str, user: Annotated[str, Query()] = "guest") -> None:
    """Text frames of JSON: ``{"event", "data", "id"?}`` in, ``{"event", "data", "meta"}`` and acknowledgements out."""
    await websocket.accept()
    if not (re.match(NAME, room) and re.match(NAME, user)):
        await websocket.close(1008, "room and user: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -")
        return
    try:
        async with rooms.member(room, app.state.broker) as outbox:
            await websocket.send_text(compact({"event": "joined", "data": {"room": room}}))
            # Whichever ends first ends the other: what the client says, or what it is told.
            tasks = [asyncio.create_task(_send(websocket, outbox)), asyncio.create_task(_receive(websocket, room, user))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    except (WebSocketDisconnect, RuntimeError):
        pass  # It has gone.
    except Exception as error:
        logging.warning("%s was let go: %s", user, error)
        await websocket.close(1013, "the broker is away: come back later")


async def _send(websocket: WebSocket, outbox: asyncio.Queue[str | None]) -> None:
    while (text := await outbox.get()) is not None:
        await websocket.send_text(text)
    await websocket.close(1013, "too slow")


async def _receive(websocket: WebSocket, room: str, user: str) -> None:
    while True:
        frame = await websocket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        try:
            said = Said.model_validate_json(frame.get("text") or "")
            message = Message(said.event, said.data, sender=user, id=said.id)
            answer = {"ok": True, "id": await app.state.broker.publish(room, message)}
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "message"
            why = first["msg"] if frame.get("text") else "expected a text frame of JSON"
            answer = {"ok": False, "error": {"code": "BAD_REQUEST", "message": f"{where}: {why}"}}
        except TooLarge as error:
            answer = {"ok": False, "error": {"code": "TOO_LARGE", "message": str(error)}}
        except Exception as error:
            logging.warning("could not publish: %s", error)
            answer = {"ok": False, "error": {"code": "UNAVAILABLE", "message": "The broker is away: try again."}}
        await websocket.send_text(compact({"ack": answer}))
