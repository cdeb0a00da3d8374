/*
 * A client that is nothing but a TCP connection: it shows every byte that the server has written, and can stop reading.
 */
import { until } from '@app/broadcast/testing';
import { connect } from 'node:net';

export interface Wire {
  /** All bytes since the connection was made. */
  readonly bytes: () => Buffer;
  /** Whether this is among what came last, the last 4 MB or so. */
  readonly hasLately: (text: string) => boolean;
  /** The bytes after the first event of this name, up to the end of the last event of that name. */
  readonly between: (first: string, last: string) => Buffer;
  readonly send: (packet: string) => void;
  /** Stops reading. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly isClosed: () => boolean;
  readonly end: () => void;
}

/** Connects by websocket to the main namespace of a Socket.IO server. */
export async function wire(url: string): Promise<Wire> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  let isClosed = false;
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('close', () => (isClosed = true));
  // A server that has had enough of a client resets its connection.
  socket.on('error', () => (isClosed = true));
  const bytes = () => Buffer.concat(chunks);
  const has = (text: string) => until(`the server has said ${text}`, () => bytes().includes(text));
  const send = (packet: string) => socket.write(masked(packet));
  socket.write(
    [
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1',
      `Host: ${hostname}:${port}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      '\r\n',
    ].join('\r\n'),
  );
  await has('0{');
  send('40');
  await has('40{');
  return {
    bytes,
    hasLately: (text) => Buffer.concat(chunks.slice(-64)).includes(text),
    between: (first, last) => {
      const all = bytes();
      return all.subarray(all.indexOf(`["${first}"]`) + first.length + 4, all.lastIndexOf(`["${last}"]`));
    },
    send,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    isClosed: () => isClosed,
    end: () => socket.destroy(),
  };
}

/** A short text frame as clients have to write it: with a mask, which may be zero. */
function masked(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}
