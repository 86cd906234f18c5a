// Messages of all conversations: new ones in order and once, changes of earlier ones once.

const PAGE = 100;
const MOST = 1_000; // conversations that are followed, the most recently active ones

export class Conversations {
  #known = new Map(); // conversation id -> {seq, revision} of what was delivered
  #began = false;
  #all = false; // whether every conversation is known
  #early = []; // pushes that came before the conversations were read for the first time
  #behind = new Set();
  #wanted = false;
  #running = null;

  /** `command(name, fields)` asks the server; `deliver(message)` takes a message. */
  constructor(command, deliver) {
    this.command = command;
    this.deliver = deliver;
  }

  /** A pushed message: a new one, or a changed one under its old number. */
  take(message) {
    if (!this.#began) return void this.#early.push(message);
    const { conversation_id: id, seq, revision } = message;
    const known = this.#of(message);
    if (seq > known.seq + 1 || revision > known.revision + 1) {
      this.#behind.add(id);
      this.#start().catch(() => {}); // the next message or connection asks again
    } else if (seq > known.seq || revision > known.revision) {
      const last = { seq: Math.max(seq, known.seq), revision: Math.max(revision, known.revision) };
      this.#known.set(id, last);
      this.deliver(message);
    }
  }

  /** Ask for what was missed, in all conversations; asked again meanwhile, it runs once more. */
  catchUp() {
    this.#wanted = true;
    return this.#start();
  }

  /** A conversation that is not known is new, or was not active for long. */
  #of({ conversation_id, seq, revision }) {
    return this.#known.get(conversation_id)
      ?? (this.#all ? { seq: 0, revision: 0 } : { seq: seq - 1, revision });
  }

  #start() {
    this.#running ??= this.#run().finally(() => (this.#running = null));
    return this.#running;
  }

  async #run() {
    while (this.#wanted || this.#behind.size) {
      if (this.#wanted) {
        this.#wanted = false;
        if (!this.#began) await this.#begin();
        else await this.#findNew();
      }
      const behind = [...this.#behind];
      this.#behind.clear();
      await this.#fill(behind);
    }
  }

  /** What has been said before is in the lists; messages are followed from here on. */
  async #begin() {
    for await (const page of this.#pages()) {
      for (const { id, head, revision } of page) this.#known.set(id, { seq: head, revision });
      if (this.#known.size >= MOST) break;
    }
    this.#all = this.#known.size < MOST;
    this.#began = true;
    const early = this.#early;
    this.#early = [];
    early.forEach((message) => this.take(message));
  }

  /** All conversations may be behind. Those that began meanwhile come first in the list. */
  async #findNew() {
    const earlier = [...this.#known.keys()];
    for await (const page of this.#pages()) {
      const unknown = page.filter(({ id }) => !this.#known.has(id));
      if (!unknown.length) break;
      for (const { id, head, revision } of unknown) {
        this.#known.set(id, this.#all ? { seq: 0, revision: 0 } : { seq: head, revision });
        this.#behind.add(id);
      }
    }
    earlier.forEach((id) => this.#behind.add(id));
  }

  async* #pages() {
    let cursor;
    do {
      const { items, next_cursor } = await this.command("list", { limit: PAGE, cursor });
      yield items;
      cursor = next_cursor;
    } while (cursor);
  }

  async #fill(behind) {
    let ids = behind;
    while (ids.length) {
      const asked = ids.slice(0, PAGE).filter((id) => this.#known.has(id) || this.#all);
      const answer = await this.#sync(asked);
      const more = asked.filter((id) => answer && this.#apply(id, answer));
      ids = [...more, ...ids.slice(PAGE)];
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
      for (const id of refused.details.conversations ?? ids) this.#known.delete(id);
      return null;
    }
  }

  /** Returns whether there is more. A push may have brought some of it already. */
  #apply(id, { conversations, changes }) {
    const known = this.#known.get(id) ?? { seq: 0, revision: 0 };
    const fresh = conversations[id].items.filter(({ seq }) => seq > known.seq);
    const last = { seq: fresh.at(-1)?.seq ?? known.seq, revision: known.revision };
    const versions = new Map(fresh.map((message) => [message.id, message.version]));
    const changed = changes[id].items.filter((message) =>
      message.revision > known.revision && message.seq <= last.seq
      && message.version > (versions.get(message.id) ?? 0));
    for (const { revision } of changes[id].items) last.revision = Math.max(last.revision, revision);
    this.#known.set(id, last);
    [...fresh, ...changed].forEach((message) => this.deliver(message));
    const came = [conversations, changes].some((lists) =>
      Object.values(lists).some(({ items }) => items.length));
    return came && (last.seq < conversations[id].head || last.revision < changes[id].revision);
  }
}
