/**
 * The bytes of the protocol of pomelo and nano: packets, and the messages in them.
 *
 * A packet is a type, a length of three bytes and a body; the body of a data packet is
 * one message.  This module knows both layouts and nothing else: no socket, no clock,
 * no JSON.  It is compared with nano's own bytes, `tests/vectors/nano.json`.
 *
 * @module
 */

import { ProtocolError } from "./errors.js";

/** What a packet is. */
export const PacketType = Object.freeze({
  HANDSHAKE: 1,
  HANDSHAKE_ACK: 2,
  HEARTBEAT: 3,
  DATA: 4,
  KICK: 5,
});

/** What a message is. */
export const MessageType = Object.freeze({ REQUEST: 0, NOTIFY: 1, RESPONSE: 2, PUSH: 3 });

/** Type and length. */
export const HEADER_SIZE = 4;
/** The most that three bytes of length can say. */
export const LARGEST_BODY = 0xffffff;
/** In bytes of UTF-8: its length is one byte. */
export const LONGEST_ROUTE = 255;

const COMPRESSED = 0x01;
const FAILED = 0x20; // as pitaya; only for those who announced that they know it
const TYPE_MASK = 0x07;

const EMPTY = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * @typedef {object} Packet
 * @property {number} type One of {@link PacketType}.
 * @property {Uint8Array} body
 *
 * @typedef {object} Message
 * @property {number} type One of {@link MessageType}.
 * @property {number} id Of a request and its response; 0 otherwise.
 * @property {string} route Empty in a response.
 * @property {boolean} failed The response is an error.
 * @property {Uint8Array} payload
 */

/**
 * Return one packet.
 *
 * @param {number} type
 * @param {Uint8Array} [body]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodePacket(type, body = EMPTY) {
  if (body.length > LARGEST_BODY) {
    throw new RangeError(`a packet of ${body.length} bytes; ${LARGEST_BODY} is the most`);
  }
  const packet = new Uint8Array(HEADER_SIZE + body.length);
  packet[0] = type;
  packet[1] = body.length >> 16;
  packet[2] = (body.length >> 8) & 0xff;
  packet[3] = body.length & 0xff;
  packet.set(body, HEADER_SIZE);
  return packet;
}

/** Cuts a stream into packets, however it arrives. */
export class PacketReader {
  /** @type {Uint8Array[]} */
  #pieces = [];
  #size = 0;
  #needed = HEADER_SIZE;

  /** @param {number} [limit] The longest body that is accepted, in bytes. */
  constructor(limit = LARGEST_BODY) {
    this.limit = limit;
  }

  /**
   * Take what has come and yield the packets that are whole, in order.
   *
   * Packets in front of a mistake are yielded before it is thrown.
   *
   * @param {Uint8Array} piece
   * @returns {Generator<Packet, void, void>}
   */
  *read(piece) {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size < this.#needed) return;
    const data = this.#joined();
    let offset = 0;
    while (data.length - offset >= HEADER_SIZE) {
      const { type, length } = this.#header(data, offset);
      const end = offset + HEADER_SIZE + length;
      if (end > data.length) {
        this.#needed = HEADER_SIZE + length;
        break;
      }
      yield { type, body: data.subarray(offset + HEADER_SIZE, end) };
      offset = end;
      this.#needed = HEADER_SIZE;
    }
    this.#keep(data.subarray(offset));
  }

  #joined() {
    if (this.#pieces.length === 1) return /** @type {Uint8Array} */ (this.#pieces[0]);
    const data = new Uint8Array(this.#size);
    let offset = 0;
    for (const piece of this.#pieces) {
      data.set(piece, offset);
      offset += piece.length;
    }
    return data;
  }

  /** @param {Uint8Array} rest */
  #keep(rest) {
    this.#pieces = rest.length ? [rest] : [];
    this.#size = rest.length;
  }

  /**
   * @param {Uint8Array} data
   * @param {number} offset
   */
  #header(data, offset) {
    const type = data[offset];
    if (type < PacketType.HANDSHAKE || type > PacketType.KICK) {
      throw new ProtocolError(`${type} is no type of a packet`);
    }
    const length = (data[offset + 1] << 16) | (data[offset + 2] << 8) | data[offset + 3];
    if (length > this.limit) {
      throw new ProtocolError(`a packet of ${length} bytes; ${this.limit} is the most`);
    }
    return { type, length };
  }
}

/** Which routes go as two bytes; both sides have the same. */
export class Dictionary {
  #codes = new Map();
  #routes = new Map();

  /** @param {Record<string, number>} [codes] */
  constructor(codes = {}) {
    for (const [route, code] of Object.entries(codes)) {
      if (!Number.isInteger(code) || code < 0 || code > 0xffff) {
        throw new ProtocolError(`${code}, the code of ${route}, is not of two bytes`);
      }
      this.#codes.set(route, code);
      this.#routes.set(code, route);
    }
  }

  /**
   * @param {string} route
   * @returns {number | undefined}
   */
  code(route) {
    return this.#codes.get(route);
  }

  /**
   * @param {number} code
   * @returns {string | undefined}
   */
  route(code) {
    return this.#routes.get(code);
  }
}

const NO_CODES = new Dictionary();

/** @param {number} type */
const hasId = (type) => type === MessageType.REQUEST || type === MessageType.RESPONSE;

/**
 * Return the body of a data packet.
 *
 * @param {number} type
 * @param {number} id
 * @param {string} route
 * @param {Uint8Array} payload
 * @param {Dictionary} [dictionary]
 */
export function encodeMessage(type, id, route, payload, dictionary = NO_CODES) {
  if (!(type >= MessageType.REQUEST && type <= MessageType.PUSH)) {
    throw new RangeError(`${type} is no type of a message`);
  }
  const named = type !== MessageType.RESPONSE;
  const code = named ? dictionary.code(route) : undefined;
  const head = [(type << 1) | (code === undefined ? 0 : COMPRESSED)];
  if (hasId(type)) putId(head, id);
  if (code !== undefined) head.push(code >> 8, code & 0xff);
  const name = named && code === undefined ? encodeRoute(route) : EMPTY;
  if (named && code === undefined) head.push(name.length);

  const message = new Uint8Array(head.length + name.length + payload.length);
  message.set(head);
  message.set(name, head.length);
  message.set(payload, head.length + name.length);
  return message;
}

/** @param {string} route */
function encodeRoute(route) {
  const name = encoder.encode(route);
  if (name.length > LONGEST_ROUTE) {
    throw new RangeError(`a route of ${name.length} bytes; ${LONGEST_ROUTE} is the most`);
  }
  return name;
}

/**
 * Seven bits a byte, the lowest first.  Shifts would cut the number to 32 bits.
 *
 * @param {number[]} bytes
 * @param {number} id
 */
function putId(bytes, id) {
  if (!Number.isSafeInteger(id) || id < 0) {
    throw new RangeError(`${id} is no message id: whole numbers from 0 to 2^53 - 1`);
  }
  while (id > 0x7f) {
    bytes.push((id % 0x80) | 0x80);
    id = Math.floor(id / 0x80);
  }
  bytes.push(id);
}

/**
 * Read the body of a data packet.
 *
 * @param {Uint8Array} body
 * @param {Dictionary} [dictionary]
 * @returns {Message}
 */
export function decodeMessage(body, dictionary = NO_CODES) {
  if (body.length < 2) throw new ProtocolError("a message of fewer than two bytes");
  const flag = body[0];
  const type = (flag >> 1) & TYPE_MASK;
  if (type > MessageType.PUSH) throw new ProtocolError(`${type} is no type of a message`);
  let offset = 1;
  let id = 0;
  let route = "";
  if (hasId(type)) [id, offset] = takeId(body, offset);
  if (type !== MessageType.RESPONSE) {
    [route, offset] = takeRoute(body, offset, flag & COMPRESSED ? dictionary : null);
  }
  const failed = type === MessageType.RESPONSE && (flag & FAILED) !== 0;
  return { type, id, route, failed, payload: body.subarray(offset) };
}

/**
 * @param {Uint8Array} body
 * @param {number} offset
 * @returns {[number, number]}
 */
function takeId(body, offset) {
  let id = 0;
  let weight = 1;
  for (;;) {
    if (offset >= body.length) throw new ProtocolError("a message id that does not end");
    const byte = body[offset++];
    id += (byte & 0x7f) * weight;
    if (id > Number.MAX_SAFE_INTEGER || weight > Number.MAX_SAFE_INTEGER) {
      throw new ProtocolError("a message id of more than 53 bits");
    }
    if (byte < 0x80) return [id, offset];
    weight *= 0x80;
  }
}

/**
 * @param {Uint8Array} body
 * @param {number} offset
 * @param {Dictionary | null} dictionary Null if the route is spelt out.
 * @returns {[string, number]}
 */
function takeRoute(body, offset, dictionary) {
  const start = offset + (dictionary ? 2 : 1);
  const end = dictionary ? start : start + (body[offset] ?? 0);
  if (end > body.length || start > body.length) {
    throw new ProtocolError("a message that ends within its route");
  }
  if (!dictionary) return [decoder.decode(body.subarray(start, end)), end];
  const code = (body[offset] << 8) | body[offset + 1];
  const route = dictionary.route(code);
  if (route === undefined) throw new ProtocolError(`no route has the code ${code}`);
  return [route, end];
}
