/**
 * The life of a client, written as a table.
 *
 * It knows in which order things happen and nothing else; `client.js` feeds it.  The
 * table is the specification: a test visits every cell of it.
 *
 * @module
 */
export type State = "idle" | "opening" | "greeting" | "working" | "waiting" | "closed";
export type Input = "open" | "opened" | "accepted" | "lost" | "over";
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
export declare const TRANSITIONS: Readonly<Record<State, Readonly<Partial<Record<Input, State>>>>>;
/**
 * Return where *input* leads from *state*.
 *
 * @param {State} state
 * @param {Input} input
 * @returns {State}
 */
export declare function nextState(state: State, input: Input): State;
