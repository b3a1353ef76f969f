/**
 * Everything this module throws, and rejects with, on purpose.
 *
 * @module
 */
/** The root of the others. */
export declare class NanoError extends Error {
    /** @param {string} message */
    constructor(message: string);
}
/** The other side sent bytes that mean nothing. */
export declare class ProtocolError extends NanoError {
}
/** The server answered a request with an error. */
export declare class RequestError extends NanoError {
    status: number;
    code: string;
    /**
     * @param {number} status Numbered as HTTP's: 404 is an unknown route, 503 a backend that has gone.
     * @param {string} message
     * @param {string} [code] What programs compare, such as `NANO-404`.
     */
    constructor(status: number, message: string, code?: string);
}
/** No answer came in time. */
export declare class TimeoutError extends NanoError {
}
/** The answer, or a push, could not be decoded. */
export declare class PayloadError extends NanoError {
}
/**
 * The connection is over, or was cut while this request was on its way.
 *
 * A request that was on its way may or may not have been carried out.
 */
export declare class ClosedError extends NanoError {
    sent: boolean;
    /**
     * @param {string} message
     * @param {boolean} [sent] The request had been sent, so it may have been carried out.
     */
    constructor(message: string, sent?: boolean);
}
/** The server does not let this client in. */
export declare class RefusedError extends NanoError {
    code: number;
    answer: unknown;
    /**
     * @param {number} code What the handshake was answered with.
     * @param {unknown} answer The whole answer.
     */
    constructor(code: number, answer: unknown);
}
/** Too much waits for the connection to come back. */
export declare class OutboxFullError extends NanoError {
}
