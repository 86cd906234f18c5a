// Listeners by name. One that throws disturbs neither the others nor the client.

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
        queueMicrotask(() => {
          throw error; // as uncaught as it would be in any other callback
        });
      }
    }
  }
}
