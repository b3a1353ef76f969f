/**
 * What waits for the connection to come back: in order, and bounded.
 *
 * @module
 */
export type Outgoing = {
    type: number;
    id: number;
    route: string;
    payload: Uint8Array;
};
/**
 * @typedef {object} Outgoing
 * @property {number} type
 * @property {number} id
 * @property {string} route
 * @property {Uint8Array} payload
 */
export declare class Outbox {
    #private;
    /** @param {number} limit In bytes, heads included. */
    constructor(limit: number);
    /**
     * Keep *outgoing*; what cannot be sent at all is refused now, not when it is sent.
     *
     * @param {Outgoing} outgoing
     */
    add(outgoing: Outgoing): void;
    /**
     * Forget *outgoing*; harmless if it is not there.
     *
     * @param {Outgoing} outgoing
     */
    remove(outgoing: Outgoing): void;
    /** Return everything in order, and forget it. */
    take(): Outgoing[];
}
