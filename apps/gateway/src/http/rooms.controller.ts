/*
 * The HTTP API for services: say something in rooms, read what was said, see who is where, take somebody out of a room.
 */
import { Bus, Rooms, type Member } from '@app/broadcast';
import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { refusalOf, RequestError } from '../answer.js';
import { PresenceService } from '../presence/presence.service.js';
import { check, historyRequest } from '../requests.js';
import { SocketServer } from '../socket-server.js';
import { Directory } from './directory.js';
import { broadcastBody, memberParams, messageBody, roomParams, roomsQuery } from './http-requests.js';

@Controller('v1')
export class RoomsController {
  readonly #bus: Bus;
  readonly #rooms: Rooms;
  readonly #sockets: SocketServer;
  readonly #presence: PresenceService;
  readonly #directory: Directory;

  constructor(bus: Bus, rooms: Rooms, sockets: SocketServer, presence: PresenceService, directory: Directory) {
    this.#bus = bus;
    this.#rooms = rooms;
    this.#sockets = sockets;
    this.#presence = presence;
    this.#directory = directory;
  }

  @Post('rooms/:room/messages')
  async publish(@Param() params: unknown, @Body() body: unknown, @Headers('idempotency-key') key?: string) {
    const { room } = check(roomParams, params);
    const message = identified(check(messageBody, body), key);
    return this.#rooms.publish({ room, ...message });
  }

  @Post('broadcasts')
  @HttpCode(200)
  async broadcast(@Body() body: unknown, @Headers('idempotency-key') key?: string) {
    const message = identified(check(broadcastBody, body), key);
    const { id, outcomes } = await this.#rooms.publishToEach(message);
    const [first] = outcomes;
    // Nobody heard it, and the whole of it can be sent again.
    if (outcomes.every(({ error }) => error && refusalOf(error).error.code === 'UNAVAILABLE')) throw first!.error!;
    const results = new Map<string, object>();
    for (const { room, pos, error } of outcomes) {
      const outcome = error ? refusalOf(error) : { ok: true, id, ...(pos !== undefined && { pos }) };
      results.set(room, { room, ...outcome });
    }
    return { results: message.rooms.map((room) => results.get(room)) };
  }

  @Get('rooms/:room/messages')
  async messages(@Param() params: unknown, @Query() query: Record<string, unknown>) {
    const { room } = check(roomParams, params);
    const request = check(historyRequest, { ...counted(query), room });
    if (!this.#rooms.keeps(room)) throw new RequestError('BAD_REQUEST', `room ${room} keeps no history`);
    return this.#rooms.history(request);
  }

  @Get('rooms')
  async list(@Query() query: Record<string, unknown>) {
    return this.#directory.page(check(roomsQuery, counted(query)));
  }

  @Get('rooms/:room')
  async room(@Param() params: unknown) {
    const { room } = check(roomParams, params);
    const [{ count, complete }, tally] = await Promise.all([
      this.#presence.of(room),
      this.#sockets.adapter.tallySockets(room),
    ]);
    const history = this.#bus.logs.historyOf(room);
    return { room, count, sockets: tally.sockets, complete: complete && tally.complete, ...(history && { history }) };
  }

  @Get('rooms/:room/members')
  async members(@Param() params: unknown) {
    const { room } = check(roomParams, params);
    return { room, ...(await this.#presence.of(room)) };
  }

  @Delete('rooms/:room/members/:user')
  async remove(@Param() params: unknown) {
    const { room, user } = check(memberParams, params);
    return { room, user, sockets: await this.#presence.remove(room, user) };
  }

  @Get('instances')
  instances() {
    return { instances: this.#sockets.adapter.servers().map(described) };
  }
}

/** The header says what the body may say, too. @throws RequestError `BAD_REQUEST` when they do not agree */
function identified<T extends { id?: string }>(message: T, key: string | undefined): T {
  if (key === undefined) return message;
  const { id } = check(messageBody.pick({ id: true }), { id: key }, 'Idempotency-Key');
  if (message.id === undefined || message.id === id) return { ...message, id };
  throw new RequestError('BAD_REQUEST', 'Idempotency-Key: expected the same as id, or one of them only');
}

/** A query holds texts: what is to be a number. */
function counted(query: Record<string, unknown>): Record<string, unknown> {
  const { limit } = query;
  return typeof limit === 'string' && /^\d{1,9}$/.test(limit) ? { ...query, limit: Number(limit) } : query;
}

function described({ id, role, version, startedAt }: Member) {
  return { id: id.split('/', 1)[0]!, role, version, startedAt };
}
