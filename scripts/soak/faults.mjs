/*
 * What goes wrong in a soak. Each fault heals itself before it resolves.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const EVERYWHERE = ['memory', 'redis', 'rabbitmq'];
const BROKERS = ['redis', 'rabbitmq'];

/** By name: on which transports, and what happens. `broker`, `gateways`, `random` and `shout` are of the soak. */
export const FAULTS = {
  reset: {
    on: BROKERS,
    what: 'the links of a gateway are reset',
    run: ({ gateways, random }) => random.pick(gateways).gate.cut(),
  },
  blackhole: {
    on: BROKERS,
    what: 'nothing passes between a gateway and the broker for 3 to 9 s',
    run: async ({ gateways, random }) => {
      const { gate } = random.pick(gateways);
      gate.blackhole();
      await sleep(random.between(3_000, 9_000));
      gate.pass();
    },
  },
  'half-open': {
    on: BROKERS,
    what: 'the broker hears a gateway, which hears nothing, for 3 to 9 s',
    run: async ({ gateways, random }) => {
      const { gate } = random.pick(gateways);
      gate.deafen();
      await sleep(random.between(3_000, 9_000));
      gate.pass();
    },
  },
  kill: {
    on: EVERYWHERE,
    what: 'a gateway is killed (SIGKILL) and started again',
    run: async ({ gateways, random }) => {
      const gateway = random.pick(gateways);
      await gateway.end('SIGKILL');
      await sleep(random.between(0, 2_000));
      await gateway.start();
    },
  },
  rolling: {
    on: EVERYWHERE,
    what: 'the gateways are restarted (SIGTERM), one after the other',
    run: async ({ gateways }) => {
      for (const gateway of gateways) {
        await gateway.end('SIGTERM');
        await gateway.start();
      }
    },
  },
  freeze: {
    on: EVERYWHERE,
    what: 'a gateway stands still for 5 s (SIGSTOP)',
    run: async ({ gateways, random }) => {
      const gateway = random.pick(gateways);
      gateway.freeze();
      await sleep(5_000);
      gateway.thaw();
    },
  },
  'broker-kill': {
    on: BROKERS,
    what: 'the broker is killed (SIGKILL) and started again',
    run: async ({ broker, random }) => {
      await broker.kill();
      await sleep(random.between(0, 2_000));
      await broker.start();
    },
  },
  'broker-freeze': {
    on: BROKERS,
    what: 'the broker stands still for 3 s (SIGSTOP)',
    run: async ({ broker }) => {
      broker.freeze();
      await sleep(3_000);
      broker.thaw();
    },
  },
  'pubsub-kill': {
    on: ['redis'],
    what: 'Redis drops every subscriber (CLIENT KILL TYPE pubsub)',
    run: ({ broker }) => broker.cli('client', 'kill', 'type', 'pubsub'),
  },
  'slow-subscriber': {
    on: ['redis'],
    what: 'Redis drops subscribers that are behind by more than 16 KiB, and large messages are said',
    run: async ({ broker, shout }) => {
      const limit = (pubsub) => broker.cli('config', 'set', 'client-output-buffer-limit', `pubsub ${pubsub}`);
      await limit('16kb 16kb 1');
      for (let i = 0; i < 10; i++) {
        shout(40_000);
        await sleep(200);
      }
      await limit('32mb 8mb 60');
    },
  },
  'close-connections': {
    on: ['rabbitmq'],
    what: 'RabbitMQ closes every connection (rabbitmqctl close_all_connections)',
    run: ({ broker }) => broker.ctl('close_all_connections', 'soak'),
  },
};

/** @returns {string[]} the names of the faults there are over a transport */
export function faultsOf(transport) {
  return Object.keys(FAULTS).filter((name) => FAULTS[name].on.includes(transport));
}
