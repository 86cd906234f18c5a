// What the page knows: records by kind and id, each in a signal of its own, and lists of their ids.
//
// A view shows a record by reading its signal, so that a push redraws what shows that record and
// nothing else. Answers and pushes may come in either order: the highest version stays.

import { signal } from "@preact/signals";

/** @typedef {{id: string, version?: number}} Stored */

export class Records {
  /** @type {Map<string, import("@preact/signals").Signal<any>>} */
  #known = new Map();
  /** @type {Set<RecordList>} */
  #lists = new Set();

  /** The signal of a record; its value is null while it is not known. @param {string} id */
  of(id) {
    let known = this.#known.get(id);
    if (!known) this.#known.set(id, (known = signal(null)));
    return known;
  }

  /** @param {string} id */
  peek(id) {
    return this.#known.get(id)?.peek() ?? null;
  }

  /**
   * Take a record over unless this or a newer version is known. Returns what was known before.
   *
   * @param {Stored} record
   */
  put(record) {
    const known = this.of(record.id);
    const before = known.peek();
    if (before && (before.version ?? -1) >= (record.version ?? 0)) return before;
    known.value = record;
    for (const list of this.#lists) list.consider(record);
    return before;
  }

  /** The first known record that fits. @param {(record: any) => boolean} fits */
  find(fits) {
    for (const { value } of this.#known.values()) if (value && fits(value)) return value;
    return null;
  }

  /** Forget all: another person may sign in. */
  clear() {
    for (const known of this.#known.values()) known.value = null;
    this.#known.clear();
    this.#lists.clear();
  }

  /** A list that records enter and leave as they change. @param {ListOptions} options */
  list(options) {
    const list = new RecordList(this, options);
    this.#lists.add(list);
    return list;
  }

  /** @param {RecordList} list */
  drop(list) {
    this.#lists.delete(list);
  }
}

/**
 * @typedef {object} ListOptions
 * @property {(cursor?: string) => Promise<{items: any[], next_cursor: string | null}>} read a page
 * @property {(record: any) => boolean} [fits] whether a record that is pushed belongs here
 * @property {(one: any, other: any) => number} [order] the newest first unless this says otherwise
 */

/** @param {any} one @param {any} other */
const newestFirst = (one, other) => (one.created_at < other.created_at ? 1 : -1);

export class RecordList {
  ids = signal(/** @type {string[]} */ ([]));
  state = signal(/** @type {"idle" | "loading" | "ready"} */ ("idle"));
  problem = signal(/** @type {any} */ (null));
  more = signal(false);
  /** @type {string | undefined} */
  #cursor;
  #read = 0; // counts readings: an answer to an earlier one is of no use

  /** @param {Records} records @param {ListOptions} options */
  constructor(records, { read, fits = () => false, order = newestFirst }) {
    this.records = records;
    this.read = read;
    this.fits = fits;
    this.order = order;
  }

  /** The first page, in place of what there is. */
  async load() {
    const page = await this.#page(undefined);
    if (page) this.ids.value = page.items.map(({ id }) => id);
  }

  /** The page after the last one. */
  async loadMore() {
    const page = await this.#page(this.#cursor);
    if (!page) return;
    const known = new Set(this.ids.value);
    this.ids.value = [...known, ...page.items.map(({ id }) => id).filter((id) => !known.has(id))];
  }

  /** A record has come or changed: it enters, or leaves. @param {any} record */
  consider(record) {
    if (this.state.peek() !== "ready") return;
    const ids = this.ids.peek();
    const listed = ids.includes(record.id);
    if (this.fits(record) === listed) return;
    if (listed) {
      this.ids.value = ids.filter((id) => id !== record.id);
      return;
    }
    const place = ids.findIndex((id) => this.order(record, this.records.peek(id)) < 0);
    if (place < 0 && this.more.peek()) return; // it is on a page that is not read yet
    this.ids.value = ids.toSpliced(place < 0 ? ids.length : place, 0, record.id);
  }

  /** @param {string | undefined} cursor */
  async #page(cursor) {
    const reading = (this.#read += 1);
    if (this.state.peek() === "idle") this.state.value = "loading";
    try {
      const page = await this.read(cursor);
      if (reading !== this.#read) return null;
      for (const record of page.items) this.records.put(record);
      this.#cursor = page.next_cursor ?? undefined;
      this.more.value = page.next_cursor !== null;
      this.problem.value = null;
      this.state.value = "ready";
      return page;
    } catch (refused) {
      if (reading === this.#read) this.problem.value = refused;
      return null;
    }
  }
}
