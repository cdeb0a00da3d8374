/*
 * How many confirmed messages one TCP reset costs on RabbitMQ: a subscriber of many rooms is cut off, opens a new link at once
 * and subscribes again, while another link publishes to those rooms. Adaptive bindings beside a binding per room and
 * nothing else.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { rabbitmq } from '../../dist/libs/broadcast/src/transports/rabbitmq.js';
import { Rounds, together } from '../rounds.mjs';

const RATE = 800;

export const rebind = {
  title: 'Confirmed messages lost in one reset, RabbitMQ',
  brokers: ['rabbitmq'],
  async run(bench) {
    const reports = [];
    for (const rooms of bench.quick ? [100] : [1_000, 5_000]) {
      const ways = [
        [`adaptive, ${rooms} rooms`, true],
        [`a binding per room, ${rooms} rooms`, false],
      ];
      const measure = (adaptive) => reset(bench, rooms, adaptive);
      const rounds = await Rounds.of(bench, ways, measure, { what: 'rebind', warm: false });
      reports.push(rounds.figures({ what: `confirmed at ${RATE} a second`, unit: '', key: 'confirmed' }));
      reports.push(rounds.figures({ what: 'of them lost', unit: '', key: 'lost' }));
      reports.push(rounds.figures({ what: 'subscribed again', unit: 'ms', key: 'again' }));
    }
    return together(...reports);
  },
};

async function reset(bench, rooms, adaptive) {
  const { port, url } = bench.broker('rabbitmq');
  const gate = await bench.openGate(port);
  const prefix = bench.prefix();
  const channels = Array.from({ length: rooms }, (_, i) => `room:${i}`);
  const heard = new Set();
  const open = (address, instance, lost) => {
    const events = { message: (_, payload) => heard.add(String(payload)), lost, blocked: () => {} };
    const transport = rabbitmq({ url: address, prefix, adaptive, maxBindings: 10_000 });
    return transport.open(events, { instance, signal: new AbortController().signal });
  };
  const listen = async (lost) => {
    const link = await open(gate.url(url), 'listener', lost);
    await link.subscribe(channels);
    return link;
  };
  let lose;
  const lost = new Promise((resolve) => (lose = resolve));
  await listen(lose);
  const publisher = await open(url, 'publisher', () => {});
  await pause(1_500 + rooms / 2); // until the single bindings are there

  const confirmed = [];
  const start = performance.now();
  let sent = 0;
  const ticker = setInterval(() => {
    for (const due = ((performance.now() - start) / 1_000) * RATE; sent < due; sent++) {
      const id = String(sent);
      publisher
        .publish(channels[(sent * 7_919) % rooms], Buffer.from(id))
        .then(() => confirmed.push(id), console.error);
    }
  }, 5);
  await pause(1_000);
  gate.cut();
  await lost;
  const since = performance.now();
  const link = await listen(() => {});
  const again = performance.now() - since;
  await pause(1_000);
  clearInterval(ticker);
  await pause(1_000);
  await Promise.all([publisher.close(), link.close()]);
  await gate.close();
  return { confirmed: confirmed.length, lost: confirmed.filter((id) => !heard.has(id)).length, again };
}
