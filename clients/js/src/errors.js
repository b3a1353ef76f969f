/**
 * Everything this module throws, and rejects with, on purpose.
 *
 * @module
 */

/** The root of the others. */
export class NanoError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** The other side sent bytes that mean nothing. */
export class ProtocolError extends NanoError {}

/** The server answered a request with an error. */
export class RequestError extends NanoError {
  /**
   * @param {number} status Numbered as HTTP's: 404 is an unknown route, 503 a backend that has gone.
   * @param {string} message
   * @param {string} [code] What programs compare, such as `NANO-404`.
   */
  constructor(status, message, code = `NANO-${status}`) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** No answer came in time. */
export class TimeoutError extends NanoError {}

/** The answer, or a push, could not be decoded. */
export class PayloadError extends NanoError {}

/**
 * The connection is over, or was cut while this request was on its way.
 *
 * A request that was on its way may or may not have been carried out.
 */
export class ClosedError extends NanoError {
  /**
   * @param {string} message
   * @param {boolean} [sent] The request had been sent, so it may have been carried out.
   */
  constructor(message, sent = false) {
    super(message);
    this.sent = sent;
  }
}

/** The server does not let this client in. */
export class RefusedError extends NanoError {
  /**
   * @param {number} code What the handshake was answered with.
   * @param {unknown} answer The whole answer.
   */
  constructor(code, answer) {
    super(`the server refuses this client with code ${code}`);
    this.code = code;
    this.answer = answer;
  }
}

/** Too much waits for the connection to come back. */
export class OutboxFullError extends NanoError {}
