/*
 * The gateway's settings: the environment, under a token that can be injected.
 */
import type { Environment } from '@app/broadcast';

export const SETTINGS = Symbol('SETTINGS');
export type Settings = Environment;
