/**
 * nano's own browser client, its surface on top of ours, so that a page written for
 * it changes its script tag only.
 *
 * The same: `init`, `request` with a callback, `notify`, `on` for pushes and events
 * alike, `disconnect`, and the events.  Better: emoji, ids beyond 2^31, reconnection
 * with jitter.  An error goes to the request's callback as the body that nano's client
 * would have handed over, `{code, msg, status}`.
 *
 * @module
 */

import { Client } from "./client.js";
import { SILENT } from "./connection.js";
import { Emitter } from "./emitter.js";
import { ClosedError, RequestError } from "./errors.js";

/** @import { Environment } from "./environment.js" */
/** @import { Options } from "./options.js" */

/**
 * @typedef {object} Params What `starx.init` takes.
 * @property {string} host
 * @property {number | string} [port]
 * @property {string} [path]
 * @property {boolean} [secure] `wss`; by default if the page came by https.
 * @property {unknown} [user]
 * @property {boolean} [reconnect]
 * @property {number} [maxReconnectAttempts] Default 10.
 * @property {(user: any) => void} [handshakeCallback]
 */

const ABNORMAL = 1006;
const OLD_CLIENT = 501;
const UNSUPPORTED = ["encode", "decode", "encrypt"];

export class Starx {
  /** @type {Client | null} */
  #client = null;
  /** @type {Emitter<Record<string, any>>} */
  #events = new Emitter((error) => console.error(error));
  /** @type {Set<string>} */
  #names = new Set();
  #options;

  /** @param {Options & Partial<Environment>} [options] For the client behind it. */
  constructor(options = {}) {
    this.#options = options;
  }

  /**
   * Connect; *callback* is called whenever a connection works.
   *
   * @param {Params} params
   * @param {(client: Client) => void} [callback]
   */
  init(params, callback) {
    for (const name of UNSUPPORTED) {
      if (name in params) {
        throw new TypeError(`starx.init: ${name} is not supported; see the option serializer`);
      }
    }
    this.#client?.events.off();
    this.#client?.disconnect();
    const client = new Client(address(params), {
      requestTimeout: Infinity,
      ...this.#options,
      user: params.user,
      reconnect: params.reconnect
        ? { first: true, attempts: params.maxReconnectAttempts || 10 }
        : false,
    });
    this.#client = client;
    for (const name of this.#names) this.#relay(name);
    this.#follow(client, params, callback);
    client.open().catch((error) => {
      if (error.name === "RefusedError") {
        const old = error.code === OLD_CLIENT;
        this.emit("error", old ? "client version not fullfill" : "handshake fail");
      }
    });
  }

  /**
   * Ask; *callback* gets the answer, or the error's body.
   *
   * @param {string} route
   * @param {any} message
   * @param {(answer: any) => void} [callback]
   */
  request(route, message, callback) {
    if (typeof message === "function" && callback === undefined) {
      [message, callback] = [{}, message];
    }
    const called = route || message?.route;
    if (!called) return;
    this.#connected()
      .request(called, message || {})
      .then(
        (answer) => callback?.(answer),
        (error) => this.#failed(error, callback),
      )
      .catch((error) => console.error(error)); // the callback's own
  }

  /**
   * Say, and expect no answer.
   *
   * @param {string} route
   * @param {any} [message]
   */
  notify(route, message) {
    this.#connected().notify(route, message || {});
  }

  /** Close. */
  disconnect() {
    this.#client?.disconnect();
  }

  /**
   * Have *callback* called with every push to the route, or event, *name*.
   *
   * @param {string} name
   * @param {(value: any) => void} callback
   * @returns {this}
   */
  on(name, callback) {
    this.#events.on(name, callback);
    this.#know(name);
    return this;
  }

  /**
   * As `on`, but once.
   *
   * @param {string} name
   * @param {(value: any) => void} callback
   * @returns {this}
   */
  once(name, callback) {
    this.#events.once(name, callback);
    this.#know(name);
    return this;
  }

  /**
   * Forget *callback*; without one all of *name*, without a name all.
   *
   * @param {string} [name]
   * @param {(value: any) => void} [callback]
   * @returns {this}
   */
  off(name, callback) {
    this.#events.off(name, callback);
    return this;
  }

  /**
   * Call everybody who listens to *name*.
   *
   * @param {string} name
   * @param {any} [value]
   * @returns {this}
   */
  emit(name, value) {
    this.#events.emit(name, value);
    return this;
  }

  /**
   * Return whether anybody listens to *name*.
   *
   * @param {string} name
   */
  hasListeners(name) {
    return this.#events.has(name);
  }

  #connected() {
    if (this.#client === null) throw new ClosedError("call starx.init first");
    return this.#client;
  }

  /** @param {string} name */
  #know(name) {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#relay(name);
  }

  /** @param {string} name */
  #relay(name) {
    this.#client?.on(name, (message) => this.emit(name, message));
  }

  /**
   * @param {Client} client
   * @param {Params} params
   * @param {((client: Client) => void) | undefined} callback
   */
  #follow(client, params, callback) {
    client.events
      .on("reconnected", () => this.emit("reconnect"))
      .on("open", ({ answer }) => {
        params.handshakeCallback?.(answer.user);
        callback?.(client);
      })
      .on("kick", ({ reason }) => this.emit("onKick", { reason }))
      .on("reconnecting", (end) => this.#ended(end))
      .on("close", (end) => this.#ended(end));
  }

  /** @param {{reason: string, code: number}} end */
  #ended({ reason, code }) {
    if (code === SILENT) this.emit("heartbeat timeout");
    if (code === ABNORMAL) this.emit("io-error", { reason, code });
    this.emit("close", { reason, code });
    this.emit("disconnect", { reason, code });
  }

  /**
   * @param {Error} error
   * @param {((answer: any) => void) | undefined} callback
   */
  #failed(error, callback) {
    if (error instanceof RequestError) {
      callback?.({ code: error.code, msg: error.message, status: error.status });
    } else if (!(error instanceof ClosedError)) {
      this.emit("error", error.message); // of a cut the event `close` tells
    }
  }
}

// what nano's emitter is called by, besides
for (const [alias, name] of /** @type {const} */ ([
  ["addEventListener", "on"],
  ["removeListener", "off"],
  ["removeAllListeners", "off"],
  ["removeEventListener", "off"],
])) {
  Object.defineProperty(Starx.prototype, alias, { value: Starx.prototype[name] });
}

/** The one that a page uses. */
export const starx = new Starx();

/** @param {Params} params */
function address({ host, port, path = "", secure }) {
  const scheme = (secure ?? globalThis.location?.protocol === "https:") ? "wss" : "ws";
  const slash = path && !path.startsWith("/") ? "/" : "";
  return `${scheme}://${host}${port ? `:${port}` : ""}${slash}${path}`;
}
