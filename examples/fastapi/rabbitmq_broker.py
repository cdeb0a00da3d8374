"""Rooms over RabbitMQ (docs/protocol.md, sections 1 and 9).

Gateways read rooms with history from a stream, into which RabbitMQ puts everything that is said in rooms: publishing is
storing. This service listens on a queue of its own, where messages have no position.
"""

from __future__ import annotations

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

from messages import Message, read, write
from rooms import Rooms

PATIENCE = 5
"""Seconds in which RabbitMQ has to answer."""
WAITING = 10_000
"""Messages that may wait for this process at the broker. The oldest give way."""


class RabbitmqBroker:
    def __init__(self, url: str, rooms: Rooms, *, origin: str, prefix: str) -> None:
        self._url = url
        self._rooms = rooms
        self._origin = origin
        self._prefix = prefix
        self._connection: AbstractRobustConnection | None = None

    async def start(self) -> None:
        # Connects again after an outage, and declares its queue and bindings again.
        self._connection = await aio_pika.connect_robust(self._url, timeout=PATIENCE)
        self._connection.reconnect_callbacks.add(self._returned)
        channel = await self._connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=200)
        topic = aio_pika.ExchangeType.TOPIC
        self._exchange = await channel.declare_exchange(f"{self._prefix}live_rooms", topic, durable=True)
        bounded = {"x-max-length": WAITING, "x-overflow": "drop-head"}
        self._queue = await channel.declare_queue(exclusive=True, arguments=bounded)
        await self._queue.consume(self._take)

    async def close(self) -> None:
        if self._connection:
            await self._connection.close()

    async def publish(self, room: str, message: Message) -> str:
        identity, envelope = write(message, room, self._origin)
        # By its message_id, gateways know a message that is sent again.
        durable = aio_pika.DeliveryMode.PERSISTENT
        body = aio_pika.Message(envelope, message_id=identity, delivery_mode=durable)
        # Resolves when RabbitMQ has confirmed it. A room that nobody listens to is no error, so not mandatory.
        await self._exchange.publish(body, f"room.{room}", mandatory=False, timeout=PATIENCE)
        return identity

    async def subscribe(self, room: str) -> None:
        await self._queue.bind(self._exchange, f"room.{room}", timeout=PATIENCE)

    async def unsubscribe(self, room: str) -> None:
        await self._queue.unbind(self._exchange, f"room.{room}", timeout=PATIENCE)

    async def _take(self, delivery: AbstractIncomingMessage) -> None:
        async with delivery.process():
            self._rooms.hear((delivery.routing_key or "").removeprefix("room."), read(delivery.body))

    async def _returned(self, *_: object) -> None:
        self._rooms.gap("the connection to the broker was lost")
