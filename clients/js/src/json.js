/**
 * Payloads in JSON, in correct UTF-8; the serializer unless another is given.
 *
 * @module
 */

/**
 * @typedef {object} Serializer
 * @property {(value: unknown) => Uint8Array} encode
 * @property {(payload: Uint8Array) => any} decode
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @type {Readonly<Serializer>} */
export const json = Object.freeze({
  encode(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${typeof value} has no form in JSON`);
    return encoder.encode(text);
  },
  decode(payload) {
    return payload.length ? JSON.parse(decoder.decode(payload)) : null;
  },
});
