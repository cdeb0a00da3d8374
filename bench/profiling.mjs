/*
 * One more run with the profiler on one instance: it costs, so it is none of the rounds.
 */
import { writeFileSync } from 'node:fs';
import { summary } from './profile.mjs';

/**
 * Writes where the time went to a page beside the results.
 *
 * @param {object} run `instance`: whose time; `who` it is, `what` is going on, as the page says; `speech` and `deliveries` as
 * `Stage.run` takes them
 */
export async function profile(bench, stage, { instance = stage.hearer, who = 'hears', what, speech, deliveries }) {
  await instance.call('profile');
  await stage.run({ speech, deliveries });
  const file = `${stage.subject}, ${what}`.replaceAll(/[^\w]+/g, '-').toLowerCase();
  const title = `${stage.subject}: the instance that ${who}, ${what}, ${deliveries} deliveries`;
  writeFileSync(`${bench.profile}-profile-${file}.md`, summary(await instance.call('profiled'), title));
}
