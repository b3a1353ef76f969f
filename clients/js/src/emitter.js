/**
 * Named callbacks.
 *
 * @module
 */

/** @typedef {{callback: Function, once: boolean}} Listener */

/**
 * @template {Record<string, any>} Events Names, and what their callbacks get.
 */
export class Emitter {
  /** @type {Map<keyof Events, Listener[]>} */
  #listeners = new Map();
  #failed;

  /** @param {(error: unknown, name: keyof Events) => void} failed Told when a callback throws. */
  constructor(failed) {
    this.#failed = failed;
  }

  /**
   * Have *callback* called at every *name*.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => void} callback
   * @returns {this}
   */
  on(name, callback) {
    return this.#add(name, callback, false);
  }

  /**
   * Have *callback* called at the next *name* only.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(value: Events[Name]) => void} callback
   * @returns {this}
   */
  once(name, callback) {
    return this.#add(name, callback, true);
  }

  /**
   * Forget *callback*; without one, all of *name*; without a name, all.
   *
   * @template {keyof Events} Name
   * @param {Name} [name]
   * @param {(value: Events[Name]) => void} [callback]
   * @returns {this}
   */
  off(name, callback) {
    if (name === undefined) {
      this.#listeners.clear();
      return this;
    }
    const found = this.#listeners.get(name) ?? [];
    if (callback === undefined) this.#listeners.delete(name);
    else this.#remove(name, found.find((listener) => listener.callback === callback));
    return this;
  }

  /**
   * Return whether anybody listens to *name*.
   *
   * @param {keyof Events} name
   */
  has(name) {
    return this.#listeners.has(name);
  }

  /**
   * Call everybody who listens to *name*; one that throws stops none of the others.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} value
   */
  emit(name, value) {
    for (const listener of this.#listeners.get(name) ?? []) {
      if (listener.once) this.#remove(name, listener);
      try {
        listener.callback(value);
      } catch (error) {
        this.#failed(error, name);
      }
    }
  }

  /**
   * @param {keyof Events} name
   * @param {Function} callback
   * @param {boolean} once
   */
  #add(name, callback, once) {
    if (typeof callback !== "function") {
      throw new TypeError(`the callback of ${String(name)} is not a function`);
    }
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), { callback, once }]);
    return this;
  }

  /**
   * @param {keyof Events} name
   * @param {Listener | undefined} gone
   */
  #remove(name, gone) {
    const rest = (this.#listeners.get(name) ?? []).filter((listener) => listener !== gone);
    if (rest.length) this.#listeners.set(name, rest);
    else this.#listeners.delete(name);
  }
}
