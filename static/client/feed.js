// The user's numbered feed: delivered in order and once. A gap is filled by `sync`.

const PAGE = 200;

export class Feed {
  #seq; // null until it is known
  #running = null;
  #wanted = false;

  /**
   * `sync(since, limit)` asks the server; `deliver(namespace, name, envelope)` takes the next push;
   * `tooOld(details)` is called when pushes are missing for good. The feed goes on after `since`.
   */
  constructor({ sync, deliver, tooOld, since = null }) {
    this.sync = sync;
    this.deliver = deliver;
    this.tooOld = tooOld;
    this.#seq = since;
  }

  /** The number of the last push that was delivered. */
  get seq() {
    return this.#seq;
  }

  /** A push with a number of this feed. One that was delivered before is dropped. */
  take(namespace, name, envelope) {
    if (this.#seq === null || envelope.seq > this.#seq + 1) this.#missed();
    else if (envelope.seq === this.#seq + 1) this.#next(namespace, name, envelope);
  }

  /** The server says how far the feed goes. */
  head(seq) {
    if (this.#seq !== null && seq > this.#seq) this.#missed();
  }

  /** Ask for what was missed; asked again while that runs, it runs once more. */
  catchUp() {
    this.#wanted = true;
    this.#running ??= this.#run();
    return this.#running;
  }

  #next(namespace, name, envelope) {
    this.#seq = envelope.seq;
    this.deliver(namespace, name, envelope);
  }

  /** If that fails as well, the next push, `head` or connection asks again. */
  #missed() {
    this.catchUp().catch(() => {});
  }

  async #run() {
    await null; // `#running` is set before it can be over
    try {
      while (this.#wanted) {
        this.#wanted = false;
        await this.#read();
      }
    } finally {
      this.#running = null; // in the same turn as the last look at what is wanted
    }
  }

  async #read() {
    try {
      if (this.#seq === null) this.#seq = (await this.sync(0, 1)).head;
      else await this.#fill();
    } catch (refused) {
      if (refused.code !== "too_old") throw refused;
      const began = this.#seq !== null;
      this.#seq = refused.details.head;
      if (began) this.tooOld(refused.details);
    }
  }

  async #fill() {
    for (;;) {
      const { items, head } = await this.sync(this.#seq, PAGE);
      for (const { namespace, name, ...envelope } of items) {
        if (envelope.seq === this.#seq + 1) this.#next(namespace, name, envelope);
      }
      if (this.#seq >= head || !items.length) return;
    }
  }
}
