// One's own numbered feed: applied in order and once; a jump or a reconnection is caught up by sync.

const PAGE = 200;

export class Feed {
  #seq = null; // unknown until the first answer
  #running = null;
  #wanted = false;

  /** `apply(namespace, name, data, seq)` takes an event over; `reload()` reads all lists again. */
  constructor(command, apply, reload) {
    this.command = command;
    this.apply = apply;
    this.reload = reload;
  }

  /** A push with a number of this feed. */
  take(namespace, name, { seq, data }) {
    if (this.#seq === null || seq > this.#seq + 1) this.#missed();
    else if (seq === this.#seq + 1) {
      this.#seq = seq;
      this.apply(namespace, name, data, seq);
    }
  }

  /** The server says how far the feed goes. */
  head(seq) {
    if (this.#seq !== null && seq > this.#seq) this.#missed();
  }

  /** Read what was missed; asked while it runs, it runs once more. */
  catchUp() {
    this.#wanted = true;
    this.#running ??= this.#run().finally(() => (this.#running = null));
    return this.#running;
  }

  /** If asking fails as well, the next push, head or reconnection asks again. */
  #missed() {
    this.catchUp().catch(() => {});
  }

  async #run() {
    while (this.#wanted) {
      this.#wanted = false;
      if (this.#seq === null) await this.#begin();
      else await this.#sync();
    }
  }

  /** What has been is in the lists, which are read after this; the feed goes on from its head. */
  async #begin() {
    try {
      this.#seq = (await this.command("/account", "sync", { since: 0, limit: 1 })).head;
    } catch (problem) {
      if (problem.code !== "too_old") throw problem;
      this.#seq = problem.details.head;
    }
  }

  async #sync() {
    try {
      for (;;) {
        const since = this.#seq;
        const { items, head } = await this.command("/account", "sync", { since, limit: PAGE });
        for (const item of items) {
          if (item.seq !== this.#seq + 1) continue; // pushed while we asked
          this.#seq = item.seq;
          this.apply(item.namespace, item.name, item.data, item.seq);
        }
        if (this.#seq >= head || !items.length) return;
      }
    } catch (problem) {
      if (problem.code !== "too_old") throw problem;
      this.#seq = problem.details.head;
      await this.reload();
    }
  }
}
