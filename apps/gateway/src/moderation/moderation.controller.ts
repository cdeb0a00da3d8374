/*
 * Moderation for services, by HTTP: who is banned or muted in a room or everywhere, who is sent out, how slowly is spoken.
 */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { check } from '../requests.js';
import { ModerationService } from './moderation.service.js';
import { kickBody, restrictBody, restrictionsRequest, slowBody, slowRequest, subject } from './requests.js';

const place = subject.pick({ room: true });
const slowPlace = slowRequest.pick({ room: true });
/** In whose name services decide. */
const BY = 'api';

@Controller('v1')
export class ModerationController {
  readonly #moderation: ModerationService;

  constructor(moderation: ModerationService) {
    this.#moderation = moderation;
  }

  @Get('restrictions')
  list(@Query() query: unknown) {
    const { limit, ...filter } = check(restrictionsRequest, query);
    return { restrictions: this.#moderation.list(filter, limit) };
  }

  @Put(['bans/:user', 'rooms/:room/bans/:user'])
  ban(@Param() about: object, @Body() body: unknown = {}) {
    return this.#moderation.restrict('ban', { ...check(restrictBody, body), ...check(subject, about) }, BY);
  }

  @Delete(['bans/:user', 'rooms/:room/bans/:user'])
  async unban(@Param() about: object) {
    return { lifted: await this.#moderation.lift('ban', check(subject, about), BY) };
  }

  @Put(['mutes/:user', 'rooms/:room/mutes/:user'])
  mute(@Param() about: object, @Body() body: unknown = {}) {
    return this.#moderation.restrict('mute', { ...check(restrictBody, body), ...check(subject, about) }, BY);
  }

  @Delete(['mutes/:user', 'rooms/:room/mutes/:user'])
  async unmute(@Param() about: object) {
    return { lifted: await this.#moderation.lift('mute', check(subject, about), BY) };
  }

  @Post(['kicks', 'rooms/:room/kicks'])
  @HttpCode(200)
  async kick(@Param() about: object, @Body() body: unknown = {}) {
    await this.#moderation.kick({ ...check(kickBody, body), ...check(place, about), by: BY });
    return {};
  }

  @Put('rooms/:room/slow-mode')
  async slow(@Param() about: object, @Body() body: unknown = {}) {
    return { interval: await this.#moderation.slow({ ...check(slowBody, body), ...check(slowPlace, about) }, BY) };
  }

  /** Back to what the profile says. */
  @Delete('rooms/:room/slow-mode')
  async unslow(@Param() about: object) {
    return { interval: await this.#moderation.slow(check(slowRequest, { ...about, interval: null }), BY) };
  }
}
