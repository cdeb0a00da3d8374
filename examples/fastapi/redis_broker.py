"""Rooms over Redis Pub/Sub, and histories as gateways keep them (docs/protocol.md, sections 1 and 9)."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets

import redis.asyncio as redis
from redis.exceptions import ConnectionError, TimeoutError

from messages import Message, read, write
from rooms import Rooms

PATIENCE = 5
"""Seconds in which Redis has to answer."""
ID_WINDOW = 5 * 60_000
AFTERLIFE = 24 * 60 * 60_000

# Numbers the message, stores it and sends it, in one step. The same id again is the same message.
APPEND = """
local stream, meta, known = KEYS[1], KEYS[2], KEYS[3]
local channel, message, id, size, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local epoch, pos = redis.call('HGET', meta, 'e'), redis.call('GET', known)
if pos and epoch and string.sub(pos, 1, #epoch + 1) == epoch .. '.' then return pos end
if not epoch then
  epoch = ARGV[6]
  redis.call('HSET', meta, 'e', epoch)
  redis.call('DEL', stream)
end
local offset = string.format('%d', redis.call('HINCRBY', meta, 's', 1))
pos = epoch .. '.' .. offset
redis.call('HSET', meta, 'i', id)
redis.call('XADD', stream, 'MAXLEN', size, offset .. '-0', 'i', id, 'd', message)
redis.call('PEXPIRE', stream, ttl)
redis.call('PEXPIRE', meta, ttl + tonumber(ARGV[7]))
redis.call('SET', known, pos, 'PX', ARGV[8])
redis.call('PUBLISH', channel, '{"pos":"' .. pos .. '",' .. string.sub(message, 2))
return pos
"""


class RedisBroker:
    def __init__(self, url: str, rooms: Rooms, *, origin: str, prefix: str, history_size: int, history_ttl: int) -> None:
        self._redis = redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self._append = self._redis.register_script(APPEND)
        self._pubsub = self._redis.pubsub()
        self._rooms = rooms
        self._origin = origin
        self._prefix = prefix
        self._history = (history_size, history_ttl)
        self._granted: dict[str, asyncio.Future[None]] = {}
        self._listener: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # A connection that has subscribed to nothing cannot be listened to.
        await self._pubsub.subscribe(f"{self._prefix}roomcast:instance:{self._origin}")
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        if self._listener:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._pubsub.aclose()
        await self._redis.aclose()

    async def publish(self, room: str, message: Message) -> str:
        identity, envelope = write(message, room, self._origin)
        channel, (size, ttl) = self._channel(room), self._history
        if size == 0:
            await self._redis.publish(channel, envelope)
        else:
            keys = [f"{{{channel}}}:log", f"{{{channel}}}:meta", f"{{{channel}}}:id:{identity}"]
            epoch = secrets.token_urlsafe(6)
            await self._append(keys, [channel, envelope, identity, size, ttl, epoch, AFTERLIFE, ID_WINDOW])
        return identity

    async def subscribe(self, room: str) -> None:
        channel = self._channel(room)
        granted = self._granted.setdefault(channel, asyncio.get_running_loop().create_future())
        if not granted.done():
            await self._pubsub.subscribe(channel)
            await asyncio.wait_for(asyncio.shield(granted), PATIENCE)

    async def unsubscribe(self, room: str) -> None:
        channel = self._channel(room)
        if self._granted.pop(channel, None):
            await self._pubsub.unsubscribe(channel)

    async def _listen(self) -> None:
        lost = False
        while True:
            try:
                # Connects again, and subscribes to everything again, where it has to.
                event = await self._pubsub.get_message(timeout=1)
                if lost:
                    await self._pubsub.ping()
                    lost = False
                    self._rooms.gap("the connection to the broker was lost")
            except (ConnectionError, TimeoutError, OSError) as error:
                if not lost:
                    logging.warning("Redis is away: %s", error)
                lost = True
                await asyncio.sleep(0.2)
                continue
            if event is not None:
                self._take(event)

    def _take(self, event: dict) -> None:
        channel = (event["channel"] or b"").decode()
        if event["type"] == "subscribe" and channel in self._granted and not self._granted[channel].done():
            self._granted[channel].set_result(None)
        elif event["type"] == "message":
            room = self._room(channel)
            if room is not None:
                self._rooms.hear(room, read(event["data"]))

    def _channel(self, room: str) -> str:
        return f"{self._prefix}live_room:" + re.sub("[%{}]", lambda found: f"%{ord(found[0]):X}", room)

    def _room(self, channel: str) -> str | None:
        start = f"{self._prefix}live_room:"
        if not channel.startswith(start):
            return None
        return re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), channel[len(start) :])
