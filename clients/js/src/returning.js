/**
 * Whether, and when, to connect again: two pure functions.
 *
 * @module
 */

/** Close codes of RFC 6455 that say "somewhere else, or later": going away, restart, busy. */
const RETURN_CODES = new Set([1001, 1012, 1013]);

/** Of servers that do not say so otherwise: this client was asleep, and is awake now. */
const RETURN_REASONS = new Set([
  "no heartbeat came for two intervals",
  "no handshake came in time",
]);

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
export const BACKOFF = Object.freeze({
  base: 500,
  cap: 15_000,
  attempts: Infinity,
  first: false,
});

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
export function delay(attempt, { base, cap }, random) {
  return random() * Math.min(cap, base * 2 ** Math.min(attempt, 30));
}

/**
 * Return whether a connection that has ended is worth another.
 *
 * One that was cut is.  Who was kicked stays away, unless the server said otherwise:
 * in the kick itself, by the close code, or by a reason that we know.
 *
 * @param {Kick | null} kick
 * @param {number} closeCode
 */
export function worthReturning(kick, closeCode) {
  if (kick === null) return true;
  return kick.reconnect ?? (RETURN_CODES.has(closeCode) || RETURN_REASONS.has(kick.reason));
}
