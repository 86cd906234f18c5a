// What the person was told: the list behind the bell, read from their feed, and what of it is new.

import { button, when } from "./parts.js";
import { changed, notify, putUser, state } from "./state.js";
import { api } from "./api.js";
import { el } from "./dom.js";

const LOOK_BACK = 200; // events of the feed
const SHOWN = 30;
const BAD = /failed|lost|frozen|back$/;

const news = () => state.told.filter((each) => !each.own && each.seq > state.seen);

function add(notices) {
  const known = new Map([...state.told, ...notices].map((each) => [each.seq, each]));
  state.told = [...known.values()].sort((a, b) => b.seq - a.seq);
}

/** A notice as it comes, listed already or not; what one did oneself is only listed. */
export function told(notice, seq) {
  add([{ ...notice, seq }]);
  const kind = BAD.test(notice.kind) ? "refusal" : "news";
  if (!notice.own) notify(`${notice.title}.`, { kind, link: notice.path });
  if (state.bell.open) see();
  changed();
}

/** The latest notices, and how far they were seen on whatever device. */
export async function loadTold() {
  const { head, seen } = await sync(Number.MAX_SAFE_INTEGER);
  const found = (await since(Math.max(0, head - LOOK_BACK)))
    .filter(({ namespace, name }) => namespace === "/account" && name === "notification");
  add(found.map(({ data, seq }) => ({ ...data, seq })));
  state.seen = Math.max(state.seen, seen);
  changed();
}

function sync(number) {
  return api.command("/account", "sync", { since: number, limit: LOOK_BACK });
}

/** All events after a number; an answer may end before the last of them. */
async function since(number) {
  const found = [];
  for (;;) {
    const { items, head } = await kept(number);
    found.push(...items);
    number = items.at(-1)?.seq ?? head;
    if (number >= head) return found;
  }
}

async function kept(number) {
  try {
    return await sync(number);
  } catch (problem) {
    if (problem.code !== "too_old") throw problem;
    return sync(problem.details.first - 1);
  }
}

export function bell() {
  const { open } = state.bell;
  const count = news().length;
  return el(
    "div.bell", { "data-key": "bell" },
    el(
      "button.quiet", {
        type: "button", "data-action": "bell", "aria-expanded": String(open), "aria-controls": "told",
        "aria-label": count > 0 ? `Notices, ${count} new` : "Notices",
      },
      el("span.icon", {}), count > 0 && el("span.count", {}, String(count)),
    ),
    open && panel(),
  );
}

function panel() {
  const shown = state.told.slice(0, SHOWN);
  const off = state.user.mail_notices === false;
  return el(
    "section.told", { id: "told", "aria-label": "Notices" },
    shown.length > 0 ? el("ol", {}, shown.map(line)) : el("p.empty", {}, "Nothing yet."),
    el("p", {}, el("a", { href: "#/account" }, "Signing in and security")),
    state.user.role !== "admin" &&
      button(off ? "Send me mails about this again" : "No mails about this, please", "mails", "", "quiet"),
  );
}

function line({ seq, title, text, path, at, own }) {
  return el(
    "li", { "data-key": `told-${seq}`, class: seq > state.bell.since && !own ? "fresh" : null },
    el("a", { href: path }, title), el("p", {}, text), when(at),
  );
}

function see() {
  const [newest] = state.told;
  if (!newest || newest.seq <= state.seen) return;
  state.seen = newest.seq;
  api.command("/account", "seen", { seq: newest.seq }).catch(() => {}); // then they are new again
}

export function closeBell() {
  if (!state.bell.open) return;
  state.bell = { open: false, since: 0 };
  changed();
}

addEventListener("click", (event) => {
  const inside = event.target.closest(".bell");
  if (!inside || event.target.closest(".told a")) closeBell();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !state.bell.open) return;
  closeBell();
  document.querySelector(".bell button").focus();
});

export const bellActions = {
  bell() {
    state.bell = { open: !state.bell.open, since: state.seen };
    if (state.bell.open) see();
  },
  async mails() {
    const mail_notices = state.user.mail_notices === false;
    putUser(await api.command("/account", "update", { mail_notices }));
  },
};
