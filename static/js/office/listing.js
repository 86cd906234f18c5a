// A section that is a list: filters above, rows below, more on demand; most sections are one.

import { button, empty, form, section } from "../parts.js";
import { api } from "../api.js";
import { changed } from "../state.js";
import { el } from "../dom.js";

const PAGE = 30;

/**
 * `name` is the command of /admin that is asked, `filters()` what its form has, `row(item)` one line
 * of it. `actions` are given `put`, which shows a changed item in place of the one before.
 */
export function listing({ name, label, filters, row, actions = () => ({}) }) {
  let items = null;
  let cursor = null;
  let fields = {};

  async function read(more) {
    const asked = fields;
    const after = more ? { cursor } : {};
    const page = await api.command("/admin", name, { ...asked, ...after, limit: PAGE });
    if (asked !== fields) return; // another question was asked meanwhile
    items = more ? [...items, ...page.items] : page.items;
    cursor = page.next_cursor;
    changed();
  }

  function put(item) {
    items = items.map((each) => (each.id === item.id ? item : each));
    changed();
  }

  return {
    name,
    label,
    load: () => read(false),
    forget() {
      items = null;
      fields = {};
    },
    view: () => section(
      label,
      el("div.search.card", {}, form(`find_${name}`, "", "Find", ...filters())),
      items === null ? empty("Loading…")
        : items.length > 0 ? el("ol.lines.card.rows", {}, items.map(row)) : empty("There is none."),
      items && cursor && button("Show more", `more_${name}`, "", "quiet"),
    ),
    actions: {
      [`find_${name}`]: ({ fields: given }) => {
        fields = Object.fromEntries(Object.entries(given).filter(([, value]) => value.trim()));
        return read(false);
      },
      [`more_${name}`]: () => read(true),
      ...actions(put),
    },
  };
}
