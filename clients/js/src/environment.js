/**
 * What the client takes from where it runs; tests give it their own.
 *
 * @module
 */

/**
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds since any moment; never goes back.
 * @property {(callback: () => void, milliseconds: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 *
 * @typedef {object} Environment
 * @property {typeof WebSocket} WebSocket
 * @property {Clock} clock
 * @property {() => number} random At least 0, below 1.
 */

const LONGEST = 0x7fffffff; // platforms take more for nothing at all

/** @type {Readonly<Clock>} */
export const systemClock = Object.freeze({
  now: () => performance.now(),
  setTimeout: (callback, milliseconds) =>
    globalThis.setTimeout(callback, Math.min(milliseconds, LONGEST)),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
});

const NO_WEBSOCKET =
  "there is no WebSocket here: use Node.js 22 or newer, start Node.js 20 with " +
  "--experimental-websocket, or pass one as the option WebSocket";

/**
 * Return the environment, with what is missing in *given* taken from the platform.
 *
 * @param {Partial<Environment>} given
 * @returns {Environment}
 */
export function environment(given) {
  const socket = given.WebSocket ?? globalThis.WebSocket;
  if (socket === undefined) throw new TypeError(NO_WEBSOCKET);
  return {
    WebSocket: socket,
    clock: given.clock ?? systemClock,
    random: given.random ?? Math.random,
  };
}
