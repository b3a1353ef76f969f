/**
 * Payloads in JSON, in correct UTF-8; the serializer unless another is given.
 *
 * @module
 */
export type Serializer = {
    encode: (value: unknown) => Uint8Array;
    decode: (payload: Uint8Array) => any;
};
/** @type {Readonly<Serializer>} */
export declare const json: Readonly<Serializer>;
