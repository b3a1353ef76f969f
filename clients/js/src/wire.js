/**
 * The client's end of one connection, without the socket.
 *
 * Bytes of the server go into {@link Wire.receive}, which yields what they mean; the
 * other methods return bytes for the server.  One object lives as long as one
 * connection, since the dictionary is agreed upon anew by each.
 *
 * @module
 */

import {
  decodeMessage,
  Dictionary,
  encodeMessage,
  encodePacket,
  PacketReader,
  PacketType,
} from "./codec.js";
import { ProtocolError } from "./errors.js";
import { json } from "./json.js";

/** @import { Message } from "./codec.js" */
/** @import { Kick } from "./returning.js" */

/**
 * @typedef {object} Greeting The server's answer to ours.
 * @property {number} code 200, or why it does not want us.
 * @property {number} heartbeat Seconds between its heartbeats; 0 if it sends none.
 * @property {string} resume The token by which the session can be taken up; empty: none.
 * @property {boolean} resumed The session is the one that was, and goes on.
 * @property {Record<string, any>} answer The whole.
 *
 * @typedef {{kind: "greeting", greeting: Greeting}
 *   | {kind: "heartbeat"}
 *   | {kind: "message", message: Message}
 *   | {kind: "kick", kick: Kick}} WireEvent
 */

const ACCEPTED = 200;

export class Wire {
  #reader = new PacketReader();
  #dictionary = new Dictionary();

  /**
   * Return the packet that opens the conversation.
   *
   * @param {unknown} user Whatever the server's validator wants.
   * @param {string} [resume] The token of a session to go on with; empty: ask for one.
   */
  greet(user, resume) {
    const sys = { type: "nanocluster-js", version: "1", errors: true, resume };
    return encodePacket(PacketType.HANDSHAKE, json.encode({ sys, user }));
  }

  /** Return the packet that ends the greeting. */
  acknowledge() {
    return encodePacket(PacketType.HANDSHAKE_ACK);
  }

  /** Return the packet that says that we are alive. */
  heartbeat() {
    return encodePacket(PacketType.HEARTBEAT);
  }

  /**
   * Return the packet of one message.
   *
   * @param {number} type
   * @param {number} id
   * @param {string} route
   * @param {Uint8Array} payload
   */
  message(type, id, route, payload) {
    const body = encodeMessage(type, id, route, payload, this.#dictionary);
    return encodePacket(PacketType.DATA, body);
  }

  /**
   * Take bytes of the server and yield what they mean, in order.
   *
   * @param {Uint8Array} data
   * @returns {Generator<WireEvent, void, void>}
   */
  *receive(data) {
    for (const { type, body } of this.#reader.read(data)) {
      if (type === PacketType.DATA) {
        yield { kind: "message", message: decodeMessage(body, this.#dictionary) };
      } else if (type === PacketType.HEARTBEAT) {
        yield { kind: "heartbeat" };
      } else if (type === PacketType.KICK) {
        yield { kind: "kick", kick: readKick(body) };
      } else if (type === PacketType.HANDSHAKE) {
        yield { kind: "greeting", greeting: this.#greeted(body) };
      } else {
        throw new ProtocolError("a server does not acknowledge a handshake");
      }
    }
  }

  /**
   * @param {Uint8Array} body
   * @returns {Greeting}
   */
  #greeted(body) {
    const answer = readObject(body);
    if (answer === null) throw new ProtocolError("the handshake's answer is not JSON");
    const sys = answer.sys ?? {};
    if (answer.code === ACCEPTED) this.#dictionary = new Dictionary(sys.dict ?? {});
    const heartbeat = Number(sys.heartbeat);
    return {
      code: Number(answer.code),
      heartbeat: heartbeat > 0 ? heartbeat : 0,
      resume: typeof sys.resume === "string" ? sys.resume : "",
      resumed: sys.epoch > 1,
      answer,
    };
  }
}

/**
 * @param {Uint8Array} body
 * @returns {Kick}
 */
function readKick(body) {
  const { reason, reconnect } = readObject(body) ?? {};
  return {
    reason: typeof reason === "string" ? reason : "",
    reconnect: typeof reconnect === "boolean" ? reconnect : undefined,
  };
}

/**
 * @param {Uint8Array} body
 * @returns {Record<string, any> | null}
 */
function readObject(body) {
  try {
    const value = json.decode(body);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
