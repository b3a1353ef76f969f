/**
 * What waits for the connection to come back: in order, and bounded.
 *
 * @module
 */

import { encodeMessage, encodePacket, PacketType } from "./codec.js";
import { OutboxFullError } from "./errors.js";

/**
 * @typedef {object} Outgoing
 * @property {number} type
 * @property {number} id
 * @property {string} route
 * @property {Uint8Array} payload
 */

export class Outbox {
  /** @type {Map<Outgoing, number>} */
  #sizes = new Map();
  #size = 0;
  #limit;

  /** @param {number} limit In bytes, heads included. */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * Keep *outgoing*; what cannot be sent at all is refused now, not when it is sent.
   *
   * @param {Outgoing} outgoing
   */
  add(outgoing) {
    const { type, id, route, payload } = outgoing;
    const size = encodePacket(PacketType.DATA, encodeMessage(type, id, route, payload)).length;
    if (this.#size + size > this.#limit) {
      throw new OutboxFullError(
        `not connected, and ${this.#size} bytes wait already; ${this.#limit} is the most ` +
          "(option outboxBytes)",
      );
    }
    this.#sizes.set(outgoing, size);
    this.#size += size;
  }

  /**
   * Forget *outgoing*; harmless if it is not there.
   *
   * @param {Outgoing} outgoing
   */
  remove(outgoing) {
    this.#size -= this.#sizes.get(outgoing) ?? 0;
    this.#sizes.delete(outgoing);
  }

  /** Return everything in order, and forget it. */
  take() {
    const all = [...this.#sizes.keys()];
    this.#sizes.clear();
    this.#size = 0;
    return all;
  }
}
