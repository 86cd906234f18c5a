// Listeners by name. One that throws disturbs neither the others nor the client: its error is
// reported, in a browser as uncaught ones are, in Node on the console.

const report = globalThis.reportError ?? ((error) => console.error(error));

export class Listeners {
  #named = new Map();

  /** Returns a function that removes the listener. */
  on(name, listener) {
    const listeners = this.#named.get(name) ?? new Set();
    this.#named.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  tell(name, ...values) {
    for (const listener of [...(this.#named.get(name) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        report(error);
      }
    }
  }
}
