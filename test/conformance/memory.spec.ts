/*
 * The embedded transport against the suite. It has no network: what outages do to the others cannot happen to it.
 */
import { memory } from '@app/broadcast';
import { conformance } from '@app/broadcast/testing';

conformance('memory', { network: false, redelivers: false, log: 'room' }, { transport: () => memory() });
