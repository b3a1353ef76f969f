/**
 * The bytes of the protocol of pomelo and nano: packets, and the messages in them.
 *
 * A packet is a type, a length of three bytes and a body; the body of a data packet is
 * one message.  This module knows both layouts and nothing else: no socket, no clock,
 * no JSON.  It is compared with nano's own bytes, `tests/vectors/nano.json`.
 *
 * @module
 */
/** What a packet is. */
export declare const PacketType: Readonly<{
    HANDSHAKE: 1;
    HANDSHAKE_ACK: 2;
    HEARTBEAT: 3;
    DATA: 4;
    KICK: 5;
}>;
/** What a message is. */
export declare const MessageType: Readonly<{
    REQUEST: 0;
    NOTIFY: 1;
    RESPONSE: 2;
    PUSH: 3;
}>;
/** Type and length. */
export declare const HEADER_SIZE = 4;
/** The most that three bytes of length can say. */
export declare const LARGEST_BODY = 16777215;
/** In bytes of UTF-8: its length is one byte. */
export declare const LONGEST_ROUTE = 255;
export type Packet = {
    /**
     * One of {@link PacketType}.
     */
    type: number;
    body: Uint8Array;
};
export type Message = {
    /**
     * One of {@link MessageType}.
     */
    type: number;
    /**
     * Of a request and its response; 0 otherwise.
     */
    id: number;
    /**
     * Empty in a response.
     */
    route: string;
    /**
     * The response is an error.
     */
    failed: boolean;
    payload: Uint8Array;
};
/**
 * @typedef {object} Packet
 * @property {number} type One of {@link PacketType}.
 * @property {Uint8Array} body
 *
 * @typedef {object} Message
 * @property {number} type One of {@link MessageType}.
 * @property {number} id Of a request and its response; 0 otherwise.
 * @property {string} route Empty in a response.
 * @property {boolean} failed The response is an error.
 * @property {Uint8Array} payload
 */
/**
 * Return one packet.
 *
 * @param {number} type
 * @param {Uint8Array} [body]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export declare function encodePacket(type: number, body?: Uint8Array): Uint8Array<ArrayBuffer>;
/** Cuts a stream into packets, however it arrives. */
export declare class PacketReader {
    #private;
    limit: number;
    /** @param {number} [limit] The longest body that is accepted, in bytes. */
    constructor(limit?: number);
    /**
     * Take what has come and yield the packets that are whole, in order.
     *
     * Packets in front of a mistake are yielded before it is thrown.
     *
     * @param {Uint8Array} piece
     * @returns {Generator<Packet, void, void>}
     */
    read(piece: Uint8Array): Generator<Packet, void, void>;
}
/** Which routes go as two bytes; both sides have the same. */
export declare class Dictionary {
    #private;
    /** @param {Record<string, number>} [codes] */
    constructor(codes?: Record<string, number>);
    /**
     * @param {string} route
     * @returns {number | undefined}
     */
    code(route: string): number | undefined;
    /**
     * @param {number} code
     * @returns {string | undefined}
     */
    route(code: number): string | undefined;
}
/**
 * Return the body of a data packet.
 *
 * @param {number} type
 * @param {number} id
 * @param {string} route
 * @param {Uint8Array} payload
 * @param {Dictionary} [dictionary]
 */
export declare function encodeMessage(type: number, id: number, route: string, payload: Uint8Array, dictionary?: Dictionary): Uint8Array<ArrayBuffer>;
/**
 * Read the body of a data packet.
 *
 * @param {Uint8Array} body
 * @param {Dictionary} [dictionary]
 * @returns {Message}
 */
export declare function decodeMessage(body: Uint8Array, dictionary?: Dictionary): Message;
