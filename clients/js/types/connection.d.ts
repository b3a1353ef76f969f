/**
 * One WebSocket, from its opening to its end; a client has one after the other.
 *
 * It greets, answers heartbeats, and notices a server that has fallen silent.  What
 * an end means, and whether there is another connection, is the client's business.
 *
 * @module
 */
import type { Message } from "./codec.js";
import type { Environment } from "./environment.js";
import type { Kick } from "./returning.js";
import type { Greeting } from "./wire.js";
export type End = {
    /**
     * Why.
     */
    error: Error;
    /**
     * Of the WebSocket's close; 1006 if there was none.
     */
    code: number;
    /**
     * What the server said before, if it sent us away.
     */
    kick: Kick | null;
    /**
     * It has not let us in.
     */
    refused: boolean;
};
export type Owner = {
    opened: () => void;
    accepted: (greeting: Greeting) => void;
    received: (message: Message) => void;
    kicked: (kick: Kick) => void;
    ended: (end: End) => void;
};
export type Terms = {
    url: string;
    /**
     * For the greeting; a function is called, and awaited.
     */
    user: unknown;
    /**
     * The token of a session to go on with; empty: ask for one.
     */
    resume?: string;
    /**
     * Milliseconds until the greeting must be over.
     */
    timeout: number;
};
/** The server has not been heard for two of its heartbeats' intervals. */
export declare const SILENT = 4008;
export declare class Connection {
    #private;
    /**
     * @param {Terms} terms
     * @param {Environment} environment
     * @param {Owner} owner
     */
    constructor(terms: Terms, environment: Environment, owner: Owner);
    /**
     * Send one message.
     *
     * @param {number} type
     * @param {number} id
     * @param {string} route
     * @param {Uint8Array} payload
     */
    send(type: number, id: number, route: string, payload: Uint8Array): void;
    /** Close, because this side wants it; the owner is told nothing any more. */
    close(): void;
}
