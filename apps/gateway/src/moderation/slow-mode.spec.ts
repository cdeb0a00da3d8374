import { Bus, memory } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { SlowMode } from './slow-mode.js';

const buses: Bus[] = [];

async function open(transport = memory()): Promise<SlowMode> {
  const bus = new Bus(transport);
  buses.push(bus);
  await bus.connect();
  return new SlowMode(bus);
}

afterEach(() => Promise.all(buses.splice(0).map((bus) => bus.close())));

describe('slow mode', () => {
  it('lets a user speak once in a while, in each room', async () => {
    const slow = await open();
    expect(slow.wait('ann', 'r', 1_000)).toBe(0);
    slow.begin('ann', 'r', 1_000)(true);
    expect(slow.wait('ann', 'r', 1_000)).toBeGreaterThan(900);
    expect([slow.wait('ann', 's', 1_000), slow.wait('bob', 'r', 1_000)]).toEqual([0, 0]);
    // The while of now counts, not that of then.
    expect(slow.wait('ann', 'r', 5_000)).toBeGreaterThan(4_900);
    expect(slow.wait('ann', 'r', 0)).toBe(0);
  });

  it('does not count what could not be said, nor forget what was said before it', async () => {
    const slow = await open();
    slow.begin('ann', 'r', 1_000)(false);
    expect(slow.wait('ann', 'r', 1_000)).toBe(0);
    slow.begin('ann', 'r', 1_000)(true);
    slow.begin('ann', 'r', 1_000)(false);
    expect(slow.wait('ann', 'r', 1_000)).toBeGreaterThan(900);
  });

  it('counts while something is being said', async () => {
    const slow = await open();
    slow.begin('ann', 'r', 1_000);
    expect(slow.wait('ann', 'r', 1_000)).toBeGreaterThan(900);
  });

  it('knows what was said on other instances', async () => {
    const transport = memory();
    const [here, there] = [await open(transport), await open(transport)];
    here.begin('ann', 'r', 1_000)(true);
    await until('it is heard', () => there.wait('ann', 'r', 1_000) > 0);
    here.begin('bob', 'r', 1_000)(false);
    here.begin('cat', 'r', 1_000)(true);
    await until('the last is heard', () => there.wait('cat', 'r', 1_000) > 0);
    expect(there.wait('bob', 'r', 1_000)).toBe(0);
  });
});
