import { EventEmitter } from 'node:events';
import { Sessions, type UserSocket } from './sessions.js';

describe('the session of a connection', () => {
  it('is one at a time', () => {
    const conn = new EventEmitter();
    const sessions = new Sessions();
    const enter = () => Object.assign(new EventEmitter(), { conn }) as unknown as UserSocket;
    const [one, other] = [enter(), enter()];
    const identity = { user: 'ann' } as never;
    expect(sessions.on(conn)).toBeUndefined();
    const first = sessions.begin(one, identity);
    expect(sessions.on(conn)).toBe(first);
    (one as unknown as EventEmitter).emit('disconnect');
    expect(sessions.on(conn)).toBeUndefined();
    const second = sessions.begin(other, identity);
    expect([sessions.on(conn), sessions.size]).toEqual([second, 1]);
    conn.emit('close');
    expect([sessions.on(conn), sessions.size]).toEqual([undefined, 0]);
  });
});
