/*
 * The process that has the clients.
 */
import { answer } from './child.mjs';
import { Crowd } from './crowd.mjs';

const crowds = new Map();

answer({
  async connect(name, { receivers, ...options }) {
    const crowd = crowds.get(name) ?? new Crowd({ receivers });
    crowds.set(name, crowd);
    await crowd.connect(options);
  },
  reset: (name) => crowds.get(name).reset(),
  expect: (name, count, patience) => crowds.get(name).expect(count, patience),
  heard: (name) => crowds.get(name).heard,
  times: (name) => crowds.get(name).times,
  traffic: (name) => crowds.get(name).traffic,
  close(name) {
    crowds.get(name)?.close();
    crowds.delete(name);
  },
});
