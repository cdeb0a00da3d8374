import { JobCounts, OTHER_QUEUES } from './job-counts.js';

describe('counts of jobs', () => {
  it('are of each queue, and of all', () => {
    const counts = new JobCounts();
    counts.of('mail').done += 2;
    counts.of('rooms').done++;
    expect(counts.of('mail').done).toBe(2);
    expect(counts.total).toEqual({ enqueued: 0, done: 3, failed: 0, retried: 0, dead: 0 });
  });

  it('do not grow with names that somebody makes up', () => {
    const counts = new JobCounts();
    for (let i = 0; i < 1_000; i++) counts.of(`queue-${i}`).enqueued++;
    expect(counts.queues.size).toBe(101);
    expect(counts.of(OTHER_QUEUES).enqueued).toBe(900);
    expect(counts.total.enqueued).toBe(1_000);
  });
});
