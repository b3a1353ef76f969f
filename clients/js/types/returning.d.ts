/**
 * Whether, and when, to connect again: two pure functions.
 *
 * @module
 */
export type Kick = {
    /**
     * Empty if it does not say.
     */
    reason: string;
    /**
     * It wants us back, or does not; it may leave it open.
     */
    reconnect?: boolean;
};
export type Backoff = {
    /**
     * Milliseconds before the first new attempt, at most. Default 500.
     */
    base: number;
    /**
     * Milliseconds before any attempt, at most. Default 15,000.
     */
    cap: number;
    /**
     * How many in a row before giving up. Default without end.
     */
    attempts: number;
    /**
     * Also if the very first connection fails. Default false.
     */
    first: boolean;
};
/**
 * @typedef {object} Kick What the server said when it sent us away.
 * @property {string} reason Empty if it does not say.
 * @property {boolean} [reconnect] It wants us back, or does not; it may leave it open.
 *
 * @typedef {object} Backoff
 * @property {number} base Milliseconds before the first new attempt, at most. Default 500.
 * @property {number} cap Milliseconds before any attempt, at most. Default 15,000.
 * @property {number} attempts How many in a row before giving up. Default without end.
 * @property {boolean} first Also if the very first connection fails. Default false.
 */
/** @type {Readonly<Backoff>} */
export declare const BACKOFF: Readonly<Backoff>;
/**
 * Return how long to wait before an attempt, in milliseconds.
 *
 * Full jitter: anything between nothing and the doubling limit.  So a gate that goes
 * is not followed by all of its clients at the same moments.
 *
 * @param {number} attempt 0 for the first.
 * @param {Backoff} backoff
 * @param {() => number} random At least 0, below 1.
 */
export declare function delay(attempt: number, { base, cap }: Backoff, random: () => number): number;
/**
 * Return whether a connection that has ended is worth another.
 *
 * One that was cut is.  Who was kicked stays away, unless the server said otherwise:
 * in the kick itself, by the close code, or by a reason that we know.
 *
 * @param {Kick | null} kick
 * @param {number} closeCode
 */
export declare function worthReturning(kick: Kick | null, closeCode: number): boolean;
