// The user's numbered feed: delivered in order and once. A gap is filled by `sync`.

const PAGE = 200;

export class Feed {
  #seq; // null until it is known
  #first = Infinity; // the lowest number that was pushed before that
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

  /** Resolves when the feed has begun: nothing is missed from then on. */
  async begun() {
    if (this.#seq === null) await (this.#running ?? this.catchUp());
  }

  /** A push with a number of this feed. One that was delivered before is dropped. */
  take(namespace, name, envelope) {
    if (this.#seq === null) this.#first = Math.min(this.#first, envelope.seq);
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
      if (this.#seq === null) this.#begin((await this.sync(0, 1)).head);
      else await this.#fill();
    } catch (refused) {
      if (refused.code !== "too_old") throw refused;
      if (this.#seq === null) return this.#begin(refused.details.head);
      this.#seq = refused.details.head;
      this.tooOld(refused.details);
    }
  }

  /** The feed begins at its head, but before a push that was made since it was connected. */
  #begin(head) {
    this.#seq = Math.min(head, this.#first - 1);
    this.head(head);
  }

  async #fill() {
    for (let before = null; before !== this.#seq;) {
      before = this.#seq;
      const { items, head } = await this.sync(this.#seq, PAGE);
      for (const { namespace, name, ...envelope } of items) {
        if (envelope.seq === this.#seq + 1) this.#next(namespace, name, envelope);
      }
      if (this.#seq >= head) return;
    }
  }
}
