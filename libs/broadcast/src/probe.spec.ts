import { Probe, type ProbeOptions } from './probe.js';

const sent: string[] = [];
const deaf = jest.fn();
const impostor = jest.fn();

function probe(options: Partial<ProbeOptions> = {}): Probe {
  return new Probe({
    interval: 1_000,
    misses: 3,
    send: async (id) => void sent.push(id),
    deaf,
    impostor,
    ...options,
  });
}

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  jest.useRealTimers();
  jest.clearAllMocks();
  sent.length = 0;
});

describe('a probe', () => {
  it('is sent at every interval, each with an id of its own', () => {
    probe().start();
    jest.advanceTimersByTime(3_000);
    expect(new Set(sent).size).toBe(3);
  });

  it('that comes back says how long it took', () => {
    const probing = probe();
    expect(probing.roundTrip).toBeUndefined();
    probing.start();
    jest.advanceTimersByTime(1_000);
    jest.advanceTimersByTime(30);
    probing.heard(sent[0]!);
    expect(probing.roundTrip).toBe(30);
  });

  it('without an echo, three in a row, makes the link deaf', () => {
    probe().start();
    jest.advanceTimersByTime(3_999);
    expect(deaf).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(deaf).toHaveBeenCalledWith(3_000);
    expect(sent).toHaveLength(3);
  });

  it('that comes back excuses those before it', () => {
    const probing = probe();
    probing.start();
    for (let i = 0; i < 10; i++) {
      jest.advanceTimersByTime(2_000);
      probing.heard(sent.at(-1)!);
    }
    expect(deaf).not.toHaveBeenCalled();
  });

  it('that could not be sent is one without an echo, and no rejection', async () => {
    probe({ send: () => Promise.reject(new Error('no link')) }).start();
    await jest.advanceTimersByTimeAsync(4_000);
    expect(deaf).toHaveBeenCalledTimes(1);
  });

  it('is not missed while the broker takes no messages', () => {
    const probing = probe();
    probing.start();
    jest.advanceTimersByTime(3_000);
    probing.pause(true);
    jest.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(3);
    probing.pause(false);
    jest.advanceTimersByTime(3_999);
    expect(deaf).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(deaf).toHaveBeenCalledTimes(1);
  });

  it('of the last link is not missed on the next', () => {
    const probing = probe();
    probing.start();
    jest.advanceTimersByTime(3_000);
    probing.stop();
    jest.advanceTimersByTime(60_000);
    expect(sent).toHaveLength(3);
    probing.start();
    jest.advanceTimersByTime(3_999);
    expect(deaf).not.toHaveBeenCalled();
  });

  it('goes out once per interval, however often it was started', () => {
    const probing = probe();
    probing.start();
    probing.start();
    jest.advanceTimersByTime(1_000);
    expect(sent).toHaveLength(1);
  });
});

describe('an echo', () => {
  it('of three probes of somebody else means that the instance id is taken, and is told once', () => {
    const probing = probe();
    probing.heard('stranger 1');
    probing.heard('stranger 2');
    expect(impostor).not.toHaveBeenCalled();
    probing.heard('stranger 3');
    for (let i = 4; i < 20; i++) probing.heard(`stranger ${i}`);
    expect(impostor).toHaveBeenCalledTimes(1);
  });

  it('that is late is not an impostor', () => {
    const probing = probe();
    probing.start();
    jest.advanceTimersByTime(3_000);
    probing.stop();
    for (let i = 0; i < 3; i++) for (const id of sent) probing.heard(id);
    expect(impostor).not.toHaveBeenCalled();
    expect(probing.roundTrip).toBeUndefined();
  });
});
