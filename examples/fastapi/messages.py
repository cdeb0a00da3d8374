"""Messages as they travel between instances: docs/protocol.md, sections 2, 3 and 9, for text.

Bytes (section 6) are not for this service, and what is signed (section 8) is read without looking at the signature.
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGE_BYTES = int(os.environ.get("MAX_MESSAGE_BYTES", "65536"))
"""The largest envelope, as on the gateways."""


class TooLarge(ValueError):
    """More than MAX_MESSAGE_BYTES."""


@dataclass
class Message:
    """What is said in a room."""

    event: str
    data: Any = None
    sender: str | None = None
    id: str | None = None
    at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    pos: str | None = None

    def as_json(self, room: str) -> str:
        """As clients of this service receive it."""
        meta = {"room": room, "id": self.id, "at": self.at, "from": self.sender, "pos": self.pos}
        meta = {name: value for name, value in meta.items() if value is not None}
        return compact({"event": self.event, "data": self.data, "meta": meta})


def write(message: Message, room: str, origin: str) -> tuple[str, bytes]:
    """The message's id, and its envelope: ``args`` last, and without spaces, where gateways look for it.

    Raises TooLarge, and ValueError for what JSON has no word for.
    """
    identity = message.id or str(uuid.uuid4())
    header = {"v": 1, "id": identity, "room": room, "from": message.sender, "at": message.at, "origin": origin}
    header = {name: value for name, value in header.items() if value is not None}
    envelope = compact({**header, "args": [message.event, message.data]}).encode()
    if len(envelope) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"the message has {len(envelope)} bytes: the limit is {MAX_MESSAGE_BYTES}")
    return identity, envelope


def read(body: bytes) -> Message | None:
    """An envelope, or any JSON object with an event; None for everything else."""
    pos = None
    if body[:1] == b"\x03":  # A position in front of what is no bare JSON.
        pos, body = body[2 : 2 + body[1]].decode(errors="replace"), body[2 + body[1] :]
    if body[:1] == b"\x02":  # Signed.
        body = body[41:]
    try:
        content = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("v"), (int, float)) and content["v"] > 1:
        return None  # A newer format.
    pos = content.pop("pos", pos)
    args = content.get("args")
    if content.get("v") == 1 and isinstance(args, list):
        if "kind" in content or not args or not isinstance(args[0], str):
            return None
        known = {"sender": content.get("from"), "id": content.get("id"), "at": content.get("at"), "pos": pos}
        given = {name: value for name, value in known.items() if value is not None}
        return Message(args[0], args[1] if len(args) > 1 else None, **given)
    if not isinstance(content.get("event"), str):
        return None
    event = content.pop("event")
    identity = content.pop("id") if isinstance(content.get("id"), str) else None
    return Message(event, content["data"] if "data" in content else content, id=identity, pos=pos)


def compact(value: Any) -> str:
    # NaN and Infinity are no JSON: gateways could not read what has them.
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _finite(number: str) -> float | None:
    """What is too large for a number is ``null``, as clients of gateways get it."""
    value = float(number)
    return value if math.isfinite(value) else None
