// Files: sent one after the other, shown and saved through tickets, which an address can carry.

import { api } from "./api.js";
import { changed } from "./state.js";
import { el } from "./dom.js";

const GOOD_MS = 50_000; // a ticket lives a little longer
const tickets = new Map(); // the id of a file -> its address, while that is good

/** Send what was chosen; returns the ids, for `file_ids`. */
export async function sent(chosen) {
  const ids = [];
  for (const file of chosen) ids.push((await api.upload(file)).id);
  return ids;
}

async function address(id) {
  const { ticket } = await api.post(`/api/files/${id}/ticket`, {});
  return `/api/files/${id}?${new URLSearchParams({ ticket })}`;
}

/** The files of a message or a delivery, or nothing. */
export function attachments(files) {
  if (!files?.length) return null;
  return el("ul.files", {}, files.map((file) =>
    el("li", { "data-key": file.id },
      el("button.quiet", { type: "button", "data-action": "save_file", "data-id": file.id },
        file.thumbnail && thumbnail(file.id), el("span", {}, file.name)))));
}

/** What is on the screen keeps its address: only a new picture needs a ticket. */
function thumbnail(id) {
  const key = `thumbnail:${id}`;
  const there = document.querySelector(`img[data-key="${key}"]`)?.getAttribute("src");
  return el("img", { "data-key": key, src: there ?? known(id), alt: "" });
}

function known(id) {
  const ticket = tickets.get(id);
  if (ticket && ticket.until > Date.now()) return ticket.src;
  tickets.set(id, { src: null, until: Date.now() + GOOD_MS });
  const ask = async () => {
    const src = `${await address(id)}&size=thumb`;
    tickets.set(id, { src, until: Date.now() + GOOD_MS });
    changed();
  };
  ask().catch(() => {}); // the name is there all the same
  return null;
}

export const fileActions = {
  async save_file({ id }) {
    const link = el("a", { href: await address(id), download: "" });
    link.click();
  },
};
