/**
 * The other end of the wire, in memory: WebSockets that a test opens, feeds and closes.
 */

import {
  decodeMessage,
  Dictionary,
  encodeMessage,
  encodePacket,
  HEADER_SIZE,
  MessageType,
  PacketReader,
  PacketType,
} from "../src/codec.js";
import { connect } from "../src/index.js";
import { json } from "../src/json.js";
import { ManualClock } from "./clock.js";

/** Lets everything that is already resolved go on. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

export class Socket {
  readyState = 0;
  #reader = new PacketReader();
  packets = [];
  closedWith = null;

  constructor(server, url) {
    this.url = url;
    this.server = server;
    server.sockets.push(this);
  }

  // ------------------------------------------------------- what the client calls

  send(packet) {
    for (const { type, body } of this.#reader.read(packet)) this.packets.push({ type, body });
  }

  close(code) {
    this.closedWith ??= code;
    this.readyState = 3;
  }

  // -------------------------------------------------------- what the server does

  open() {
    this.readyState = 1;
    this.onopen();
    return settled();
  }

  bytes(...pieces) {
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const joined = new Uint8Array(size);
    let offset = 0;
    for (const piece of pieces) {
      joined.set(piece, offset);
      offset += piece.length;
    }
    this.onmessage({ data: joined.buffer });
  }

  greet(answer = {}) {
    const { dict, heartbeat = 30, code = 200, resume, epoch, ...more } = answer;
    this.dictionary = new Dictionary(dict ?? {});
    const sys = { dict, epoch, heartbeat, resume, servertime: 1 };
    const body = { code, sys, ...more };
    this.bytes(encodePacket(PacketType.HANDSHAKE, json.encode(body)));
    return settled();
  }

  message(type, id, route, value, failed = false) {
    const payload = value instanceof Uint8Array ? value : json.encode(value);
    const body = encodeMessage(type, id, route, payload, this.dictionary);
    if (failed) body[0] |= 0x20;
    return encodePacket(PacketType.DATA, body);
  }

  answer(id, value, failed = false) {
    this.bytes(this.message(MessageType.RESPONSE, id, "", value, failed));
    return settled();
  }

  push(route, value) {
    this.bytes(this.message(MessageType.PUSH, 0, route, value));
  }

  kick(body) {
    this.bytes(encodePacket(PacketType.KICK, json.encode(body)));
  }

  heartbeat() {
    this.bytes(encodePacket(PacketType.HEARTBEAT));
  }

  drop(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
    return settled();
  }

  // ------------------------------------------------------- what the server has seen

  /** The messages so far; taken away. */
  get messages() {
    const found = this.packets.filter(({ type }) => type === PacketType.DATA);
    this.packets = this.packets.filter(({ type }) => type !== PacketType.DATA);
    return found.map(({ body }) => {
      const { type, id, route, payload } = decodeMessage(body, this.dictionary);
      return { type, id, route, value: json.decode(payload) };
    });
  }

  count(type) {
    return this.packets.filter((packet) => packet.type === type).length;
  }
}

export class Server {
  /** @type {Socket[]} */
  sockets = [];
  clock = new ManualClock();
  random = 0.5;

  /** What a client is made with, to be connected to this server. */
  get environment() {
    const server = this;
    return {
      WebSocket: class extends Socket {
        constructor(url) {
          super(server, url);
        }
      },
      clock: this.clock,
      random: () => this.random,
    };
  }

  get last() {
    return this.sockets.at(-1);
  }

  /** Return a client that works. */
  async client(options = {}, answer = {}) {
    const connecting = connect("ws://here/", { ...this.environment, ...options });
    await this.last.open();
    await this.last.greet(answer);
    return connecting;
  }

  /** Open and greet the attempt that is under way. */
  async accept(answer = {}) {
    await this.last.open();
    await this.last.greet(answer);
  }
}

export { HEADER_SIZE, MessageType, PacketType };
