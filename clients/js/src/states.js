/**
 * The life of a client, written as a table.
 *
 * It knows in which order things happen and nothing else; `client.js` feeds it.  The
 * table is the specification: a test visits every cell of it.
 *
 * @module
 */

/**
 * @typedef {"idle" | "opening" | "greeting" | "working" | "waiting" | "closed"} State
 * - `idle`: nobody has called `open()`
 * - `opening`: the socket is being opened
 * - `greeting`: we have introduced ourselves
 * - `working`: messages flow in both directions
 * - `waiting`: the connection was lost; the next attempt comes in a while
 * - `closed`: over, for good
 *
 * @typedef {"open" | "opened" | "accepted" | "lost" | "over"} Input
 * - `open`: an attempt begins
 * - `opened`: the socket is open
 * - `accepted`: the server lets us in
 * - `lost`: the connection has gone, and we shall try again
 * - `over`: the connection has gone, and we shall not
 */

/** @type {Readonly<Record<State, Readonly<Partial<Record<Input, State>>>>>} */
export const TRANSITIONS = Object.freeze({
  idle: { open: "opening", over: "closed" },
  opening: { opened: "greeting", lost: "waiting", over: "closed" },
  greeting: { accepted: "working", lost: "waiting", over: "closed" },
  working: { lost: "waiting", over: "closed" },
  waiting: { open: "opening", over: "closed" },
  closed: { over: "closed" }, // closing twice is harmless
});

/**
 * Return where *input* leads from *state*.
 *
 * @param {State} state
 * @param {Input} input
 * @returns {State}
 */
export function nextState(state, input) {
  const next = TRANSITIONS[state][input];
  if (next === undefined) throw new Error(`${input} while ${state}`);
  return next;
}
