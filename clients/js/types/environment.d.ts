/**
 * What the client takes from where it runs; tests give it their own.
 *
 * @module
 */
export type Clock = {
    /**
     * Milliseconds since any moment; never goes back.
     */
    now: () => number;
    setTimeout: (callback: () => void, milliseconds: number) => unknown;
    clearTimeout: (timer: any) => void;
};
export type Environment = {
    WebSocket: typeof WebSocket;
    clock: Clock;
    /**
     * At least 0, below 1.
     */
    random: () => number;
};
/** @type {Readonly<Clock>} */
export declare const systemClock: Readonly<Clock>;
/**
 * Return the environment, with what is missing in *given* taken from the platform.
 *
 * @param {Partial<Environment>} given
 * @returns {Environment}
 */
export declare function environment(given: Partial<Environment>): Environment;
