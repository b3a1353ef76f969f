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
import type { Environment } from "./environment.js";
import type { Options } from "./options.js";
export type Params = {
    host: string;
    port?: number | string;
    path?: string;
    /**
     * `wss`; by default if the page came by https.
     */
    secure?: boolean;
    user?: unknown;
    reconnect?: boolean;
    /**
     * Default 10.
     */
    maxReconnectAttempts?: number;
    handshakeCallback?: (user: any) => void;
};
export declare class Starx {
    #private;
    /** @param {Options & Partial<Environment>} [options] For the client behind it. */
    constructor(options?: Options & Partial<Environment>);
    /**
     * Connect; *callback* is called whenever a connection works.
     *
     * @param {Params} params
     * @param {(client: Client) => void} [callback]
     */
    init(params: Params, callback?: (client: Client) => void): void;
    /**
     * Ask; *callback* gets the answer, or the error's body.
     *
     * @param {string} route
     * @param {any} message
     * @param {(answer: any) => void} [callback]
     */
    request(route: string, message: any, callback?: (answer: any) => void): void;
    /**
     * Say, and expect no answer.
     *
     * @param {string} route
     * @param {any} [message]
     */
    notify(route: string, message?: any): void;
    /** Close. */
    disconnect(): void;
    /**
     * Have *callback* called with every push to the route, or event, *name*.
     *
     * @param {string} name
     * @param {(value: any) => void} callback
     * @returns {this}
     */
    on(name: string, callback: (value: any) => void): this;
    /**
     * As `on`, but once.
     *
     * @param {string} name
     * @param {(value: any) => void} callback
     * @returns {this}
     */
    once(name: string, callback: (value: any) => void): this;
    /**
     * Forget *callback*; without one all of *name*, without a name all.
     *
     * @param {string} [name]
     * @param {(value: any) => void} [callback]
     * @returns {this}
     */
    off(name?: string, callback?: (value: any) => void): this;
    /**
     * Call everybody who listens to *name*.
     *
     * @param {string} name
     * @param {any} [value]
     * @returns {this}
     */
    emit(name: string, value?: any): this;
    /**
     * Return whether anybody listens to *name*.
     *
     * @param {string} name
     */
    hasListeners(name: string): boolean;
}
/** The one that a page uses. */
export declare const starx: Starx;
