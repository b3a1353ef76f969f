/**
 * The client: requests and their answers, pushes, and one connection after another.
 *
 * What a connection is, `connection.js` knows; in which order things happen,
 * `states.js`; when to try again, `returning.js`.
 *
 * @module
 */

import { MessageType } from "./codec.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { environment } from "./environment.js";
import { ClosedError, PayloadError, RequestError, TimeoutError } from "./errors.js";
import { json } from "./json.js";
import { backoff, DEFAULTS } from "./options.js";
import { Outbox } from "./outbox.js";
import { delay, worthReturning } from "./returning.js";
import { nextState } from "./states.js";

/** @import { Message } from "./codec.js" */
/** @import { End } from "./connection.js" */
/** @import { Environment } from "./environment.js" */
/** @import { Events, Options } from "./options.js" */
/** @import { Outgoing } from "./outbox.js" */
/** @import { Input, State } from "./states.js" */
/** @import { Greeting } from "./wire.js" */

/**
 * @typedef {object} Waiting
 * @property {(answer: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {unknown} timer
 * @property {Outgoing} outgoing
 * @property {boolean} sent
 */

/** A client of one address; made by {@link connect}, or opened by its own `open()`. */
export class Client {
  #url;
  #options;
  #serializer;
  #backoff;
  #environment;
  /** @type {State} */
  #state = "idle";
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #outbox;
  #lastId = 0;
  #token = ""; // by which the session can be taken up
  #attempt = 0; // in a row, without a connection that has lasted
  #connections = 0; // that have worked
  #workingSince = 0;
  /** @type {unknown} */
  #timer;
  #reason = "";
  /** @type {{resolve: () => void, reject: (error: Error) => void} | null} */
  #opening = null;
  /** @type {Emitter<Record<string, any>>} */
  #pushes;

  /**
   * @param {string | URL} url `ws://host:port/path`, or `wss://`.
   * @param {Options & Partial<Environment>} [options]
   */
  constructor(url, options = {}) {
    this.#url = String(url);
    this.#options = { ...DEFAULTS, ...options };
    this.#serializer = options.serializer ?? json;
    this.#backoff = backoff(options.reconnect ?? true);
    this.#environment = environment(options);
    this.#outbox = new Outbox(this.#options.outboxBytes);
    this.#pushes = new Emitter((error) => this.#report(error));
    /**
     * What happens to the connection; pushes have `on`, `once` and `off` of their own.
     *
     * @type {Emitter<Events>}
     */
    this.events = new Emitter((error, name) => {
      if (name === "error") console.error(error);
      else this.#report(error);
    });
  }

  /** Where the client stands. */
  get state() {
    return this.#state;
  }

  /** Why it is over; empty while it is not. */
  get closed() {
    return this.#reason;
  }

  /**
   * Connect; called once.
   *
   * If the first attempt fails, the client is closed and the promise is rejected,
   * unless `reconnect.first` is set.
   *
   * @returns {Promise<void>}
   */
  open() {
    return new Promise((resolve, reject) => {
      if (this.#state !== "idle") throw new ClosedError(`open() while ${this.#state}`);
      this.#opening = { resolve, reject };
      this.#connect();
    });
  }

  /**
   * Ask, and return the answer, decoded; null if it is empty.
   *
   * Without a connection the request waits for one, within its time-out.  It rejects
   * with {@link RequestError} if the answer is an error, {@link TimeoutError} if none
   * comes in time, {@link ClosedError} if the connection ends meanwhile,
   * {@link OutboxFullError} if too much waits.
   *
   * @param {string} route
   * @param {unknown} [message]
   * @param {{timeout?: number}} [options] Milliseconds.
   * @returns {Promise<any>}
   */
  request(route, message = {}, { timeout = this.#options.requestTimeout } = {}) {
    return new Promise((resolve, reject) => {
      const outgoing = this.#outgoing(MessageType.REQUEST, route, message);
      const sent = this.#send(outgoing);
      const timer = Number.isFinite(timeout)
        ? this.#environment.clock.setTimeout(() => this.#late(outgoing, timeout), timeout)
        : undefined;
      this.#waiting.set(outgoing.id, { resolve, reject, timer, outgoing, sent });
    });
  }

  /**
   * Say, and expect no answer.
   *
   * Without a connection the message waits for one.  Throws {@link ClosedError} when
   * the client is closed, {@link OutboxFullError} if too much waits.
   *
   * @param {string} route
   * @param {unknown} [message]
   */
  notify(route, message = {}) {
    this.#send(this.#outgoing(MessageType.NOTIFY, route, message));
  }

  /**
   * Have *callback* called with every push to *route*.
   *
   * @param {string} route
   * @param {(message: any) => void} callback
   * @returns {this}
   */
  on(route, callback) {
    this.#pushes.on(route, callback);
    return this;
  }

  /**
   * Have *callback* called with the next push to *route*.
   *
   * @param {string} route
   * @param {(message: any) => void} callback
   * @returns {this}
   */
  once(route, callback) {
    this.#pushes.once(route, callback);
    return this;
  }

  /**
   * Forget *callback*; without one all of *route*, without a route all.
   *
   * @param {string} [route]
   * @param {(message: any) => void} [callback]
   * @returns {this}
   */
  off(route, callback) {
    this.#pushes.off(route, callback);
    return this;
  }

  /** Close; what waits is rejected.  A second time is harmless. */
  disconnect() {
    this.#connection?.close();
    this.#over(new ClosedError("closed by this side"), 1000);
  }

  // ------------------------------------------------------------------- sending

  /**
   * @param {number} type
   * @param {string} route
   * @param {unknown} message
   * @returns {Outgoing}
   */
  #outgoing(type, route, message) {
    const payload =
      message instanceof Uint8Array ? message : this.#serializer.encode(message);
    const id = type === MessageType.REQUEST ? ++this.#lastId : 0;
    return { type, id, route, payload };
  }

  /**
   * @param {Outgoing} outgoing
   * @returns {boolean} Whether it went out; otherwise it waits.
   */
  #send(outgoing) {
    if (this.#state === "closed") throw new ClosedError(this.#reason);
    if (this.#state !== "working") {
      this.#outbox.add(outgoing);
      return false;
    }
    const { type, id, route, payload } = outgoing;
    this.#connection?.send(type, id, route, payload);
    return true;
  }

  /**
   * @param {Outgoing} outgoing
   * @param {number} timeout
   */
  #late(outgoing, timeout) {
    const waiting = this.#waiting.get(outgoing.id);
    this.#waiting.delete(outgoing.id);
    this.#outbox.remove(outgoing);
    waiting?.reject(new TimeoutError(`${outgoing.route}: no answer in ${timeout} ms`));
  }

  #sendWaiting() {
    for (const outgoing of this.#outbox.take()) {
      this.#send(outgoing);
      const waiting = this.#waiting.get(outgoing.id);
      if (waiting) waiting.sent = true;
    }
  }

  // ----------------------------------------------------------------- receiving

  /** @param {Message} message */
  #received(message) {
    if (message.type === MessageType.PUSH) this.#pushed(message);
    else if (message.type === MessageType.RESPONSE) this.#answered(message);
  }

  /** @param {Message} message */
  #pushed({ route, payload }) {
    if (!this.#pushes.has(route)) return;
    try {
      this.#pushes.emit(route, this.#serializer.decode(payload));
    } catch (error) {
      this.#report(new PayloadError(`a push to ${route} cannot be decoded: ${error}`));
    }
  }

  /** @param {Message} message */
  #answered({ id, failed, payload }) {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return; // too late
    this.#waiting.delete(id);
    this.#environment.clock.clearTimeout(waiting.timer);
    try {
      const answer = this.#serializer.decode(payload);
      if (failed) waiting.reject(requestError(answer));
      else waiting.resolve(answer);
    } catch (error) {
      const { route } = waiting.outgoing;
      waiting.reject(new PayloadError(`${route}: the answer cannot be decoded: ${error}`));
    }
  }

  /** @param {unknown} error */
  #report(error) {
    if (this.events.has("error")) this.events.emit("error", error);
    else console.error(error);
  }

  // ---------------------------------------------------------------- connecting

  /** @param {Input} input */
  #step(input) {
    this.#state = nextState(this.#state, input);
  }

  #connect() {
    const { user, connectTimeout, resume } = this.#options;
    const token = resume ? this.#token : undefined;
    const terms = { url: this.#url, user, resume: token, timeout: connectTimeout };
    const connection = new Connection(terms, this.#environment, {
      opened: () => this.#step("opened"),
      accepted: (greeting) => this.#accepted(greeting),
      received: (message) => this.#received(message),
      kicked: (kick) => this.events.emit("kick", kick),
      ended: (end) => this.#ended(end),
    });
    this.#step("open");
    this.#connection = connection;
  }

  /**
   * What a callback of `open` sends goes out first, in front of what has waited: the
   * session may be new, and the application may have to say who it is.
   *
   * @param {Greeting} greeting
   */
  #accepted(greeting) {
    this.#step("accepted");
    this.#token = greeting.resume;
    this.#workingSince = this.#environment.clock.now();
    this.#connections += 1;
    this.#opening?.resolve();
    this.#opening = null;
    this.events.emit("open", greeting);
    if (this.#connections > 1) this.events.emit("reconnected", greeting);
    if (this.#state === "working") this.#sendWaiting();
  }

  /** @param {End} end */
  #ended(end) {
    this.#connection = null;
    const { cap, attempts } = this.#backoff;
    const lasted = this.#environment.clock.now() - this.#workingSince;
    if (this.#state === "working" && lasted >= cap) this.#attempt = 0;
    if (this.#attempt >= attempts || !this.#returns(end)) {
      this.#over(end.error, end.code);
      return;
    }
    this.#step("lost");
    this.#rejectSent(end.error);
    const milliseconds = delay(this.#attempt++, this.#backoff, this.#environment.random);
    this.#timer = this.#environment.clock.setTimeout(() => this.#connect(), milliseconds);
    this.events.emit("reconnecting", {
      attempt: this.#attempt,
      delay: milliseconds,
      reason: end.error.message,
      code: end.code,
    });
  }

  /** @param {End} end */
  #returns({ kick, code, refused }) {
    if (refused || (this.#connections === 0 && !this.#backoff.first)) return false;
    const decide = this.#options.reconnectAfterKick;
    return kick && decide ? decide(kick, code) : worthReturning(kick, code);
  }

  /** @param {Error} error */
  #rejectSent(error) {
    for (const [id, { sent, reject, timer, outgoing }] of this.#waiting) {
      if (!sent) continue;
      this.#waiting.delete(id);
      this.#environment.clock.clearTimeout(timer);
      reject(new ClosedError(`${outgoing.route}: ${error.message}`, true));
    }
  }

  /**
   * @param {Error} error
   * @param {number} code
   */
  #over(error, code) {
    if (this.#state === "closed") return;
    this.#step("over");
    this.#connection = null;
    this.#reason = error.message;
    this.#environment.clock.clearTimeout(this.#timer);
    this.#rejectSent(error);
    this.#outbox.take();
    for (const { reject, timer, outgoing } of this.#waiting.values()) {
      this.#environment.clock.clearTimeout(timer);
      reject(new ClosedError(`${outgoing.route}: ${error.message}`));
    }
    this.#waiting.clear();
    this.#opening?.reject(error);
    this.#opening = null;
    this.events.emit("close", { reason: this.#reason, code });
  }
}

/**
 * Connect, and return the client when it works.
 *
 * @param {string | URL} url `ws://host:port/path`, or `wss://`.
 * @param {Options & Partial<Environment>} [options]
 */
export async function connect(url, options) {
  const client = new Client(url, options);
  await client.open();
  return client;
}

/** @param {any} body `{"code", "msg", "status"}`, as pitaya; `status` is ours. */
function requestError(body) {
  if (body === null || typeof body !== "object") return new RequestError(500, String(body));
  const status = Number.isInteger(body.status) ? body.status : 500;
  return new RequestError(status, String(body.msg ?? ""), body.code || undefined);
}
