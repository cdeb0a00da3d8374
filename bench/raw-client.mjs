/*
 * A client made of a TCP socket: it upgrades to websocket, does the handshakes of Engine.IO and Socket.IO by hand, and then
 * only looks where frames begin, so that what is measured is not the load.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

const [ZERO, NINE, OPEN, PING, MESSAGE, CONNECT, EVENT] = [...'0902402'].map((letter) => letter.charCodeAt(0));
const HEADERS_END = '\r\n\r\n';
/** Frames are looked at before the next ones are read: all clients can read into one buffer. */
const shared = Buffer.allocUnsafe(256 * 1024);

export class RawClient {
  bytes = 0;
  frames = 0;
  #socket;
  #rest;
  #upgraded = false;
  #plain;
  #heard;
  #ended;

  /**
   * @param {{ port: number, room?: string, plain?: boolean, heard: (bytes: Buffer, at: number) => void, ended: (why: Error) => void }} options
   * `plain`: without Engine.IO and Socket.IO. `heard` is told where a packet with an event begins
   */
  constructor({ port, room, plain = false, heard, ended }) {
    this.#plain = plain;
    this.#heard = heard;
    this.#ended = ended;
    const query = new URLSearchParams({ EIO: '4', transport: 'websocket', ...(room !== undefined && { room }) });
    this.connected = new Promise((resolve, reject) => {
      this.#connected = resolve;
      const onread = { buffer: shared, callback: (length) => this.#read(shared.subarray(0, length)) };
      this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread }, () =>
        this.#socket.write(
          `GET /socket.io/?${query} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}${HEADERS_END}`,
        ),
      );
      this.#socket.on('error', reject);
      this.#socket.on('close', () => {
        const why = new Error('the instance closed a connection');
        reject(why);
        this.#ended(why);
      });
    });
  }

  #connected;

  close() {
    this.#ended = () => {};
    this.#socket.destroy();
  }

  #read(chunk) {
    this.bytes += chunk.length;
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = this.#upgraded ? 0 : this.#upgrade(bytes);
    while (this.#upgraded && bytes.length - at >= 2) {
      let length = bytes[at + 1];
      let head = 2;
      if (length === 126) {
        if (bytes.length - at < 4) break;
        length = bytes.readUInt16BE(at + 2);
        head = 4;
      } else if (length === 127) {
        if (bytes.length - at < 10) break;
        length = Number(bytes.readBigUInt64BE(at + 2));
        head = 10;
      }
      if (bytes.length - at < head + length) break;
      this.#frame(bytes, at + head, length);
      at += head + length;
    }
    this.#rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined;
    return true;
  }

  /** @returns where the frames begin */
  #upgrade(bytes) {
    const end = bytes.indexOf(HEADERS_END);
    if (end === -1) return 0;
    if (!bytes.toString('latin1', 0, end).startsWith('HTTP/1.1 101')) {
      this.#socket.destroy(new Error(`no websocket: ${bytes.toString('latin1', 0, 60)}`));
      return 0;
    }
    this.#upgraded = true;
    if (this.#plain) this.#connected();
    return end + HEADERS_END.length;
  }

  #frame(bytes, at, length) {
    this.frames++;
    const [first, second] = [bytes[at], bytes[at + 1]];
    if (first === MESSAGE && second === EVENT) {
      const third = bytes[at + 2];
      if (third >= ZERO && third <= NINE)
        this.#acknowledge(bytes.toString('latin1', at + 2, at + Math.min(length, 20)));
      this.#heard(bytes, at);
    } else if (first === OPEN) this.#send('40');
    else if (first === PING) this.#send('3');
    else if (first === MESSAGE && second === CONNECT) this.#connected();
  }

  #acknowledge(packet) {
    this.#send(`43${parseInt(packet, 10)}["yes"]`);
  }

  /** Masked with zeros, which leaves the text as it is. */
  #send(text) {
    const head = Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]);
    this.#socket.write(Buffer.concat([head, Buffer.from(text)]));
  }
}
