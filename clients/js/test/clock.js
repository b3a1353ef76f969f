/** A clock that a test moves by hand. */
export class ManualClock {
  #now = 0;
  #last = 0;
  #timers = new Map();

  now = () => this.#now;

  setTimeout = (callback, milliseconds) => {
    this.#timers.set(++this.#last, { at: this.#now + milliseconds, callback });
    return this.#last;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  /** How many timers run; none may be left when a client is closed. */
  get running() {
    return this.#timers.size;
  }

  /** Let *milliseconds* pass; what is due is called in order. */
  advance(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (!due.length) break;
      const [timer, { at, callback }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, at);
      callback();
    }
    this.#now = end;
  }
}
