/**
 * What a client can be told, and what it tells.
 *
 * @module
 */
import type { Serializer } from "./json.js";
import type { Backoff, Kick } from "./returning.js";
import type { Greeting } from "./wire.js";
export type Options = {
    /**
     * What the server's handshake validator wants; JSON-able, or a
     * function that returns it or a promise of it, called before every greeting.
     */
    user?: unknown;
    /**
     * Milliseconds until an attempt must have succeeded.
     * Default 10,000.
     */
    connectTimeout?: number;
    /**
     * Milliseconds until an answer must have come; Infinity
     * for ever.  Default 10,000.
     */
    requestTimeout?: number;
    /**
     * Whether a connection that was cut is
     * followed by another, and when.  Default true.
     */
    reconnect?: boolean | Partial<Backoff>;
    /**
     * Go on with the same session after a connection that was cut,
     * if the server offers it; `resumed` of a greeting says whether it did.  Default true.
     */
    resume?: boolean;
    /**
     * Decides whether
     * to come back after a kick.  Default: if the kick says so, or the close code does (1001,
     * 1012, 1013), or it was for silence.
     */
    reconnectAfterKick?: (kick: Kick, closeCode: number) => boolean;
    /**
     * How much may wait while there is no connection.  Default
     * 65,536.
     */
    outboxBytes?: number;
    /**
     * Default JSON.
     */
    serializer?: Serializer;
};
export type Events = {
    /**
     * A connection works: the first, and each after it.
     */
    open: Greeting;
    /**
     * The
     * connection was cut; the next attempt (from 1) comes in `delay` milliseconds.
     */
    reconnecting: {
        attempt: number;
        delay: number;
        reason: string;
        code: number;
    };
    /**
     * A connection works that is not the first.
     */
    reconnected: Greeting;
    /**
     * The server sends us away; the end follows.
     */
    kick: Kick;
    /**
     * Over, for good.
     */
    close: {
        reason: string;
        code: number;
    };
    /**
     * A callback threw, or a push could not be decoded.
     */
    error: unknown;
};
/** @import { Serializer } from "./json.js" */
/** @import { Backoff, Kick } from "./returning.js" */
/** @import { Greeting } from "./wire.js" */
/**
 * @typedef {object} Options
 * @property {unknown} [user] What the server's handshake validator wants; JSON-able, or a
 *   function that returns it or a promise of it, called before every greeting.
 * @property {number} [connectTimeout] Milliseconds until an attempt must have succeeded.
 *   Default 10,000.
 * @property {number} [requestTimeout] Milliseconds until an answer must have come; Infinity
 *   for ever.  Default 10,000.
 * @property {boolean | Partial<Backoff>} [reconnect] Whether a connection that was cut is
 *   followed by another, and when.  Default true.
 * @property {boolean} [resume] Go on with the same session after a connection that was cut,
 *   if the server offers it; `resumed` of a greeting says whether it did.  Default true.
 * @property {(kick: Kick, closeCode: number) => boolean} [reconnectAfterKick] Decides whether
 *   to come back after a kick.  Default: if the kick says so, or the close code does (1001,
 *   1012, 1013), or it was for silence.
 * @property {number} [outboxBytes] How much may wait while there is no connection.  Default
 *   65,536.
 * @property {Serializer} [serializer] Default JSON.
 *
 * @typedef {object} Events
 * @property {Greeting} open A connection works: the first, and each after it.
 * @property {{attempt: number, delay: number, reason: string, code: number}} reconnecting The
 *   connection was cut; the next attempt (from 1) comes in `delay` milliseconds.
 * @property {Greeting} reconnected A connection works that is not the first.
 * @property {Kick} kick The server sends us away; the end follows.
 * @property {{reason: string, code: number}} close Over, for good.
 * @property {unknown} error A callback threw, or a push could not be decoded.
 */
export declare const DEFAULTS: Readonly<{
    connectTimeout: 10000;
    requestTimeout: 10000;
    outboxBytes: 65536;
    resume: true;
}>;
/**
 * @param {boolean | Partial<Backoff>} wanted
 * @returns {Backoff}
 */
export declare function backoff(wanted: boolean | Partial<Backoff>): Backoff;
