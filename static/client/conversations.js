// Messages of all conversations: new ones in order and once, changes of earlier ones once.

const PAGE = 100;
const MOST = 1_000; // conversations that are followed, the most recently active ones
const SLACK_MS = 300_000; // between the clocks of the server's processes

const activeAt = (conversation) => Date.parse(conversation.active_at);

/** How far the messages of one conversation were delivered, and the changes of them. */
class Progress {
  #ahead = new Map(); // seq -> revision of new messages whose change has its turn later

  constructor(seq, revision) {
    this.seq = seq;
    this.revision = revision;
  }

  /** Go back to before this message, so that it is new or changed again. */
  goBack({ seq, revision }) {
    if (revision) this.revision = Math.min(this.revision, revision - 1);
    else this.seq = Math.min(this.seq, seq - 1);
  }

  /** Whether something lies between what was delivered and this message. */
  misses({ seq, revision }) {
    return seq > this.seq + 1 || revision > this.revision + 1;
  }

  /** Whether it is a new message, which is to be delivered. */
  isNew({ seq, revision }) {
    if (seq <= this.seq) return false;
    this.seq = seq;
    if (revision > this.revision) this.#ahead.set(seq, revision);
    return true;
  }

  /** Whether it is the next change of a message that was delivered without it. */
  isChanged({ seq, revision }) {
    if (revision <= this.revision) return false;
    this.revision = revision;
    const came = this.#ahead.get(seq) ?? 0;
    if (came <= revision) this.#ahead.delete(seq);
    return seq <= this.seq && came < revision;
  }
}

export class Conversations {
  #known = new Map(); // conversation id -> its Progress
  #began = false;
  #all = false; // whether every conversation is known
  #early = new Map(); // the first new and the first changed message of each, pushed before that
  #looked = 0; // when the latest conversation was active, at the last look at the list
  #behind = new Set();
  #wanted = false;
  #running = null;

  /** `command(name, fields)` asks the server; `deliver(message)` takes a message. */
  constructor(command, deliver) {
    this.command = command;
    this.deliver = deliver;
  }

  /** Resolves when all conversations are followed: nothing is missed from then on. */
  async begun() {
    if (!this.#began) await (this.#running ?? this.catchUp());
  }

  /** A pushed message: a new one, or a changed one under its old number. */
  take(message) {
    if (!this.#began) return this.#takeEarly(message);
    const id = message.conversation_id;
    const progress = this.#of(id, message);
    if (progress.misses(message)) {
      this.#behind.add(id);
      this.#start().catch(() => {}); // `retry` asks again
    } else this.#deliver(progress, [message], [message]);
  }

  /** Ask for what was missed, in all conversations; asked again meanwhile, it runs once more. */
  catchUp() {
    this.#wanted = true;
    return this.#start();
  }

  /** Ask again for what could not be read. */
  retry() {
    if (this.#wanted || this.#behind.size) this.#start().catch(() => {});
  }

  #takeEarly(message) {
    const { conversation_id, seq, revision } = message;
    const key = `${conversation_id} ${revision > 0}`;
    const first = this.#early.get(key);
    if (!first || (revision - first.revision || seq - first.seq) < 0) this.#early.set(key, message);
  }

  /** A conversation that is not known is new, or was not active for long. */
  #of(id, { seq, revision }) {
    if (!this.#known.has(id)) {
      this.#known.set(id, this.#all ? new Progress(0, 0) : new Progress(seq - 1, revision));
    }
    return this.#known.get(id);
  }

  #deliver(progress, items, changes) {
    const fresh = items.filter((message) => progress.isNew(message));
    const changed = changes.filter((message) => progress.isChanged(message));
    [...fresh, ...changed].forEach((message) => this.deliver(message));
  }

  #start() {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run() {
    await null; // `#running` is set before it can be over
    try {
      while (this.#wanted || this.#behind.size) await this.#round();
    } finally {
      this.#running = null; // in the same turn as the last look at what is wanted
    }
  }

  async #round() {
    if (this.#wanted) {
      this.#wanted = false;
      try {
        await (this.#began ? this.#findNew() : this.#begin());
      } catch (refused) {
        this.#wanted = true;
        throw refused;
      }
    }
    await this.#fill();
  }

  /** What has been said before is in the lists; messages are followed from here on. */
  async #begin() {
    for await (const page of this.#pages()) {
      for (const { id, head, revision } of page) this.#known.set(id, new Progress(head, revision));
      if (this.#known.size >= MOST) break;
    }
    this.#all = this.#known.size < MOST;
    this.#began = true;
    for (const message of this.#early.values()) {
      this.#of(message.conversation_id, message).goBack(message);
      this.#behind.add(message.conversation_id);
    }
    this.#early.clear();
  }

  /** All conversations may be behind. Those that began since the last look come first. */
  async #findNew() {
    const before = this.#looked - SLACK_MS;
    const earlier = [...this.#known.keys()];
    for await (const page of this.#pages()) {
      for (const { id, head, revision } of page.filter((each) => !this.#known.has(each.id))) {
        this.#known.set(id, this.#all ? new Progress(0, 0) : new Progress(head, revision));
        this.#behind.add(id);
      }
      if (activeAt(page.at(-1)) < before) break;
    }
    earlier.forEach((id) => this.#behind.add(id));
  }

  async* #pages() {
    let cursor;
    do {
      const { items, next_cursor } = await this.#page(cursor);
      if (items.length) {
        this.#looked = Math.max(this.#looked, activeAt(items[0]));
        yield items;
      }
      cursor = next_cursor;
    } while (cursor);
  }

  async #page(cursor) {
    try {
      return await this.command("list", { limit: PAGE, cursor });
    } catch (refused) {
      if (refused.code !== "forbidden") throw refused;
      return { items: [], next_cursor: null }; // administrators have no conversations
    }
  }

  /** Those behind are filled, some at a time; a message that comes meanwhile puts its own back. */
  async #fill() {
    while (this.#behind.size) {
      const asked = [...this.#behind].slice(0, PAGE);
      for (const id of asked) this.#behind.delete(id);
      let more = asked; // unless they are filled
      try {
        const answer = await this.#sync(asked);
        more = asked.filter((id) => (answer ? this.#apply(id, answer) : this.#known.has(id)));
      } finally {
        for (const id of more) this.#behind.add(id);
      }
    }
  }

  /** Null when some of the conversations are not the user's any more: then those are forgotten. */
  async #sync(ids) {
    const numbers = (name) => Object.fromEntries(
      ids.map((id) => [id, this.#known.get(id)?.[name] ?? 0]),
    );
    try {
      return await this.command("sync", {
        conversations: numbers("seq"), revisions: numbers("revision"),
      });
    } catch (refused) {
      if (refused.code !== "not_found") throw refused;
      const gone = (refused.details.conversations ?? ids).filter((id) => this.#known.delete(id));
      if (!gone.length) throw refused;
      return null;
    }
  }

  /** Returns whether there is more. A push may have brought some of it already. */
  #apply(id, { conversations, changes }) {
    const progress = this.#of(id, { seq: 1, revision: 0 });
    this.#deliver(progress, conversations[id].items, changes[id].items);
    const came = [conversations, changes].some((lists) =>
      Object.values(lists).some(({ items }) => items.length));
    const { seq, revision } = progress;
    return came && (seq < conversations[id].head || revision < changes[id].revision);
  }
}
