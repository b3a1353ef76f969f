/**
 * The client: requests and their answers, pushes, and one connection after another.
 *
 * What a connection is, `connection.js` knows; in which order things happen,
 * `states.js`; when to try again, `returning.js`.
 *
 * @module
 */
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import type { Events, Options } from "./options.js";
import type { Outgoing } from "./outbox.js";
import type { State } from "./states.js";
export type Waiting = {
    resolve: (answer: any) => void;
    reject: (error: Error) => void;
    timer: unknown;
    outgoing: Outgoing;
    sent: boolean;
};
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
export declare class Client {
    #private;
    /**
     * What happens to the connection; pushes have `on`, `once` and `off` of their own.
     *
     * @type {Emitter<Events>}
     */
    events: Emitter<Events>;
    /**
     * @param {string | URL} url `ws://host:port/path`, or `wss://`.
     * @param {Options & Partial<Environment>} [options]
     */
    constructor(url: string | URL, options?: Options & Partial<Environment>);
    /** Where the client stands. */
    get state(): State;
    /** Why it is over; empty while it is not. */
    get closed(): string;
    /**
     * Connect; called once.
     *
     * If the first attempt fails, the client is closed and the promise is rejected,
     * unless `reconnect.first` is set.
     *
     * @returns {Promise<void>}
     */
    open(): Promise<void>;
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
    request(route: string, message?: unknown, { timeout }?: {
        timeout?: number;
    }): Promise<any>;
    /**
     * Say, and expect no answer.
     *
     * Without a connection the message waits for one.  Throws {@link ClosedError} when
     * the client is closed, {@link OutboxFullError} if too much waits.
     *
     * @param {string} route
     * @param {unknown} [message]
     */
    notify(route: string, message?: unknown): void;
    /**
     * Have *callback* called with every push to *route*.
     *
     * @param {string} route
     * @param {(message: any) => void} callback
     * @returns {this}
     */
    on(route: string, callback: (message: any) => void): this;
    /**
     * Have *callback* called with the next push to *route*.
     *
     * @param {string} route
     * @param {(message: any) => void} callback
     * @returns {this}
     */
    once(route: string, callback: (message: any) => void): this;
    /**
     * Forget *callback*; without one all of *route*, without a route all.
     *
     * @param {string} [route]
     * @param {(message: any) => void} [callback]
     * @returns {this}
     */
    off(route?: string, callback?: (message: any) => void): this;
    /** Close; what waits is rejected.  A second time is harmless. */
    disconnect(): void;
}
/**
 * Connect, and return the client when it works.
 *
 * @param {string | URL} url `ws://host:port/path`, or `wss://`.
 * @param {Options & Partial<Environment>} [options]
 */
export declare function connect(url: string | URL, options?: Options & Partial<Environment>): Promise<Client>;
