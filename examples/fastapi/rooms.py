"""Rooms inside this process: who is in them, and what they have heard.

Each member has a bounded outbox and a task that empties it, so that nobody waits for the slowest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import AsyncIterator, Protocol

from messages import Message, compact

OUTBOX = 256
"""Messages that may wait for a member. More, and the member is let go."""
REMEMBERED = 10_000
"""Ids of the last messages of a room: one that is sent again is heard once."""


class Broker(Protocol):
    """What carries rooms between processes: RedisBroker and RabbitmqBroker."""

    async def publish(self, room: str, message: Message) -> str:
        """Resolves with the message's id when the broker has it."""

    async def subscribe(self, room: str) -> None:
        """Resolves when the broker has acknowledged it."""

    async def unsubscribe(self, room: str) -> None: ...


class Room:
    def __init__(self) -> None:
        self.members: set[asyncio.Queue[str | None]] = set()
        self.heard: OrderedDict[str, None] = OrderedDict()
        self.lock = asyncio.Lock()


class Rooms:
    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    @asynccontextmanager
    async def member(self, name: str, broker: Broker) -> AsyncIterator[asyncio.Queue[str | None]]:
        """What the room hears from now on, as an outbox; ``None`` at its end."""
        room = self._rooms.setdefault(name, Room())
        outbox: asyncio.Queue[str | None] = asyncio.Queue(OUTBOX)
        room.members.add(outbox)
        try:
            async with room.lock:  # Not while the last one before is leaving.
                await broker.subscribe(name)
            yield outbox
        finally:
            room.members.discard(outbox)
            async with room.lock:
                if not room.members and self._rooms.get(name) is room:
                    await broker.unsubscribe(name)
                    if not room.members:
                        del self._rooms[name]

    def hear(self, name: str, message: Message | None) -> None:
        """Called by the broker with everything that is said in a room."""
        room = self._rooms.get(name)
        if room is None or message is None:
            return
        if message.id is not None:
            if message.id in room.heard:
                return
            room.heard[message.id] = None
            if len(room.heard) > REMEMBERED:
                room.heard.popitem(last=False)
        self._tell(room, message.as_json(name))

    def gap(self, reason: str) -> None:
        """The broker was away: nobody knows what was said meanwhile."""
        for name, room in self._rooms.items():
            self._tell(room, compact({"event": "room:gap", "data": {"room": name, "reason": reason}}))

    def _tell(self, room: Room, text: str) -> None:
        for outbox in list(room.members):
            try:
                outbox.put_nowait(text)
            except asyncio.QueueFull:
                room.members.discard(outbox)
                while not outbox.empty():
                    outbox.get_nowait()
                outbox.put_nowait(None)
