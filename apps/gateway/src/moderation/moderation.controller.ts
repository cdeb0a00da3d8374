/*
 * Moderation for services, by HTTP: who is banned or muted in a room or everywhere, who is sent out, how slowly is spoken.
 */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { check } from '../requests.js';
import { ModerationService } from './moderation.service.js';
import { kickRequest, restrictionsRequest, restrictRequest, slowRequest, subject } from './requests.js';

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
  ban(@Param() about: object, @Body() body: object | undefined) {
    return this.#moderation.restrict('ban', check(restrictRequest, { ...body, ...about }), BY);
  }

  @Delete(['bans/:user', 'rooms/:room/bans/:user'])
  async unban(@Param() about: object) {
    return { lifted: await this.#moderation.lift('ban', check(subject, about), BY) };
  }

  @Put(['mutes/:user', 'rooms/:room/mutes/:user'])
  mute(@Param() about: object, @Body() body: object | undefined) {
    return this.#moderation.restrict('mute', check(restrictRequest, { ...body, ...about }), BY);
  }

  @Delete(['mutes/:user', 'rooms/:room/mutes/:user'])
  async unmute(@Param() about: object) {
    return { lifted: await this.#moderation.lift('mute', check(subject, about), BY) };
  }

  @Post(['kicks', 'rooms/:room/kicks'])
  @HttpCode(200)
  async kick(@Param() about: object, @Body() body: object | undefined) {
    await this.#moderation.kick({ ...check(kickRequest, { ...body, ...about }), by: BY });
    return {};
  }

  @Put('rooms/:room/slow-mode')
  async slow(@Param() about: object, @Body() body: object | undefined) {
    return { interval: await this.#moderation.slow(check(slowRequest, { ...body, ...about }), BY) };
  }

  /** Back to what the profile says. */
  @Delete('rooms/:room/slow-mode')
  async unslow(@Param() about: object) {
    return { interval: await this.#moderation.slow(check(slowRequest, { ...about, interval: null }), BY) };
  }
}
