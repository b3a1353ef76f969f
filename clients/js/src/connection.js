/**
 * One WebSocket, from its opening to its end; a client has one after the other.
 *
 * It greets, answers heartbeats, and notices a server that has fallen silent.  What
 * an end means, and whether there is another connection, is the client's business.
 *
 * @module
 */

import { ClosedError, NanoError, ProtocolError, RefusedError } from "./errors.js";
import { Wire } from "./wire.js";

/** @import { Message } from "./codec.js" */
/** @import { Environment } from "./environment.js" */
/** @import { Kick } from "./returning.js" */
/** @import { Greeting, WireEvent } from "./wire.js" */

/**
 * @typedef {object} End
 * @property {Error} error Why.
 * @property {number} code Of the WebSocket's close; 1006 if there was none.
 * @property {Kick | null} kick What the server said before, if it sent us away.
 * @property {boolean} refused It has not let us in.
 *
 * @typedef {object} Owner Who is told; after `ended` nobody is told anything any more.
 * @property {() => void} opened
 * @property {(greeting: Greeting) => void} accepted
 * @property {(message: Message) => void} received
 * @property {(kick: Kick) => void} kicked
 * @property {(end: End) => void} ended
 *
 * @typedef {object} Terms
 * @property {string} url
 * @property {unknown} user For the greeting; a function is called, and awaited.
 * @property {string} [resume] The token of a session to go on with; empty: ask for one.
 * @property {number} timeout Milliseconds until the greeting must be over.
 */

const OK = 200;
const OPEN = 1; // the ready state of a socket
const NORMAL = 1000;
const ABNORMAL = 1006;
const BROKEN = 4002; // of the codes that anybody may use: the server's bytes mean nothing
/** The server has not been heard for two of its heartbeats' intervals. */
export const SILENT = 4008;
const LATE = 4009; // the greeting was not over in time
const CLOSING_TIME = 5000; // milliseconds that a kick may be ahead of the close

const encoder = new TextEncoder();

export class Connection {
  #wire = new Wire();
  #environment;
  #owner;
  #terms;
  /** @type {WebSocket} */
  #socket;
  #ended = false;
  #accepted = false;
  /** @type {Kick | null} */
  #kick = null;
  #heard = 0;
  /** @type {unknown} */
  #timer;

  /**
   * @param {Terms} terms
   * @param {Environment} environment
   * @param {Owner} owner
   */
  constructor(terms, environment, owner) {
    this.#environment = environment;
    this.#owner = owner;
    this.#terms = terms;
    const socket = new environment.WebSocket(terms.url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => void this.#greet();
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    socket.onerror = () => {}; // says nothing; a close always follows
    this.#socket = socket;
    this.#timer = environment.clock.setTimeout(() => {
      this.#fail(LATE, new ClosedError(`no greeting came in ${terms.timeout} ms`));
    }, terms.timeout);
  }

  /**
   * Send one message.
   *
   * @param {number} type
   * @param {number} id
   * @param {string} route
   * @param {Uint8Array} payload
   */
  send(type, id, route, payload) {
    this.#write(this.#wire.message(type, id, route, payload));
  }

  /** Close, because this side wants it; the owner is told nothing any more. */
  close() {
    this.#finish();
    this.#socket.close(NORMAL);
  }

  async #greet() {
    if (this.#ended) return;
    this.#owner.opened();
    const { user, resume } = this.#terms;
    try {
      const said = typeof user === "function" ? await user() : user;
      if (!this.#ended) this.#write(this.#wire.greet(said, resume));
    } catch (error) {
      this.#fail(NORMAL, error instanceof Error ? error : new NanoError(String(error)));
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} packet */
  #write(packet) {
    if (this.#socket.readyState === OPEN) this.#socket.send(packet);
  }

  /** @param {ArrayBuffer | string} data */
  #receive(data) {
    if (this.#ended) return;
    this.#heard = this.#environment.clock.now();
    const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
    try {
      for (const event of this.#wire.receive(bytes)) {
        this.#act(event);
        if (this.#ended) return;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(BROKEN, error);
    }
  }

  /** @param {WireEvent} event */
  #act(event) {
    if (event.kind === "message") {
      if (!this.#accepted) throw new ProtocolError("a message before the greeting");
      this.#owner.received(event.message);
    } else if (event.kind === "heartbeat") {
      if (this.#accepted) this.#write(this.#wire.heartbeat());
    } else if (event.kind === "greeting") {
      this.#greeted(event.greeting);
    } else {
      this.#kicked(event.kick);
    }
  }

  /** @param {Greeting} greeting */
  #greeted(greeting) {
    if (this.#accepted) throw new ProtocolError("a second answer to the greeting");
    if (greeting.code !== OK) {
      this.#fail(NORMAL, new RefusedError(greeting.code, greeting.answer));
      return;
    }
    this.#environment.clock.clearTimeout(this.#timer);
    this.#accepted = true;
    this.#write(this.#wire.acknowledge());
    if (greeting.heartbeat) this.#listen(2000 * greeting.heartbeat);
    this.#owner.accepted(greeting);
  }

  /**
   * Watch for a server that is silent for *patience* milliseconds: two intervals.
   *
   * @param {number} patience
   */
  #listen(patience) {
    const { clock } = this.#environment;
    const left = this.#heard + patience - clock.now();
    if (left > 0) {
      this.#timer = clock.setTimeout(() => this.#listen(patience), left);
      return;
    }
    const silence = `the server has been silent for ${patience} ms`;
    this.#fail(SILENT, new ClosedError(silence));
  }

  /** @param {Kick} kick */
  #kicked(kick) {
    const { clock } = this.#environment;
    this.#kick = kick;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => this.#closed(ABNORMAL, ""), CLOSING_TIME);
    this.#owner.kicked(kick);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    const why = this.#kick?.reason || reason;
    const message = why ? `closed by the server: ${why}` : `the connection is lost (${code})`;
    this.#fail(code, new ClosedError(message));
  }

  /**
   * @param {number} code
   * @param {Error} error
   */
  #fail(code, error) {
    if (this.#ended) return;
    this.#finish();
    this.#socket.close(code >= 3000 ? code : NORMAL);
    const refused = error instanceof RefusedError;
    this.#owner.ended({ error, code, kick: this.#kick, refused });
  }

  #finish() {
    this.#ended = true;
    this.#environment.clock.clearTimeout(this.#timer);
  }
}
