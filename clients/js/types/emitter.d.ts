/**
 * Named callbacks.
 *
 * @module
 */
export type Listener = {
    callback: Function;
    once: boolean;
};
/** @typedef {{callback: Function, once: boolean}} Listener */
/**
 * @template {Record<string, any>} Events Names, and what their callbacks get.
 */
export declare class Emitter<Events extends Record<string, any>> {
    #private;
    /** @param {(error: unknown, name: keyof Events) => void} failed Told when a callback throws. */
    constructor(failed: (error: unknown, name: keyof Events) => void);
    /**
     * Have *callback* called at every *name*.
     *
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(value: Events[Name]) => void} callback
     * @returns {this}
     */
    on<Name extends keyof Events>(name: Name, callback: (value: Events[Name]) => void): this;
    /**
     * Have *callback* called at the next *name* only.
     *
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(value: Events[Name]) => void} callback
     * @returns {this}
     */
    once<Name extends keyof Events>(name: Name, callback: (value: Events[Name]) => void): this;
    /**
     * Forget *callback*; without one, all of *name*; without a name, all.
     *
     * @template {keyof Events} Name
     * @param {Name} [name]
     * @param {(value: Events[Name]) => void} [callback]
     * @returns {this}
     */
    off<Name extends keyof Events>(name?: Name, callback?: (value: Events[Name]) => void): this;
    /**
     * Return whether anybody listens to *name*.
     *
     * @param {keyof Events} name
     */
    has(name: keyof Events): boolean;
    /**
     * Call everybody who listens to *name*; one that throws stops none of the others.
     *
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} value
     */
    emit<Name extends keyof Events>(name: Name, value: Events[Name]): void;
}
