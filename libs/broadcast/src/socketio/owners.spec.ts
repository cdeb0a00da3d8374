import { Owners } from './owners.js';

describe('owners', () => {
  it('are who was last said to be one', () => {
    const owners = new Owners();
    owners.learn('s1', 'b');
    owners.learn('s2', 'b');
    owners.learn('s1', 'c');
    expect(['s1', 's2', 's3'].map((socket) => owners.of(socket))).toEqual(['c', 'b', undefined]);
  });

  it('are forgotten with all of their sockets', () => {
    const owners = new Owners();
    for (const socket of ['s1', 's2']) owners.learn(socket, 'b');
    owners.learn('s3', 'c');
    owners.forget('b');
    expect(['s1', 's2', 's3'].map((socket) => owners.of(socket))).toEqual([undefined, undefined, 'c']);
  });

  it('are remembered for the sockets that were asked for last', () => {
    const owners = new Owners(3);
    for (const socket of ['s1', 's2', 's3']) owners.learn(socket, 'b');
    owners.of('s1');
    owners.learn('s2', 'c');
    owners.learn('s4', 'b');
    expect(['s1', 's2', 's3', 's4'].map((socket) => owners.of(socket))).toEqual(['b', 'c', undefined, 'b']);
  });
});
