/**
 * The client's end of one connection, without the socket.
 *
 * Bytes of the server go into {@link Wire.receive}, which yields what they mean; the
 * other methods return bytes for the server.  One object lives as long as one
 * connection, since the dictionary is agreed upon anew by each.
 *
 * @module
 */
import type { Message } from "./codec.js";
import type { Kick } from "./returning.js";
export type Greeting = {
    /**
     * 200, or why it does not want us.
     */
    code: number;
    /**
     * Seconds between its heartbeats; 0 if it sends none.
     */
    heartbeat: number;
    /**
     * The token by which the session can be taken up; empty: none.
     */
    resume: string;
    /**
     * The session is the one that was, and goes on.
     */
    resumed: boolean;
    /**
     * The whole.
     */
    answer: Record<string, any>;
};
export type WireEvent = {
    kind: "greeting";
    greeting: Greeting;
} | {
    kind: "heartbeat";
} | {
    kind: "message";
    message: Message;
} | {
    kind: "kick";
    kick: Kick;
};
export declare class Wire {
    #private;
    /**
     * Return the packet that opens the conversation.
     *
     * @param {unknown} user Whatever the server's validator wants.
     * @param {string} [resume] The token of a session to go on with; empty: ask for one.
     */
    greet(user: unknown, resume?: string): Uint8Array<ArrayBuffer>;
    /** Return the packet that ends the greeting. */
    acknowledge(): Uint8Array<ArrayBuffer>;
    /** Return the packet that says that we are alive. */
    heartbeat(): Uint8Array<ArrayBuffer>;
    /**
     * Return the packet of one message.
     *
     * @param {number} type
     * @param {number} id
     * @param {string} route
     * @param {Uint8Array} payload
     */
    message(type: number, id: number, route: string, payload: Uint8Array): Uint8Array<ArrayBuffer>;
    /**
     * Take bytes of the server and yield what they mean, in order.
     *
     * @param {Uint8Array} data
     * @returns {Generator<WireEvent, void, void>}
     */
    receive(data: Uint8Array): Generator<WireEvent, void, void>;
}
