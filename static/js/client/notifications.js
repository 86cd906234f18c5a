// What the person was told, newest first; each leads to what it is about.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { Refusal, live, server } from "../shared/server.js";
import { dayOf, fullTime, timeOf } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { capital } from "./names.js";
import { notices, sawNotices } from "./world.js";

const STEP = 200; // events of the feed that are read at a time
const BAD = /failed|lost|frozen|back$/;

const ids = signal(/** @type {string[]} */ ([]));
const state = signal(/** @type {"idle" | "ready"} */ ("idle"));
const seen = signal(0);
const first = signal(0); // the feed was read down to this number

/** @param {number} since @param {number} limit */
async function read(since, limit) {
  try {
    return await server.account.sync({ since, limit });
  } catch (refused) {
    if (!(refused instanceof Refusal) || refused.code !== "too_old") throw refused;
    return server.account.sync({ since: Math.max(since, refused.details.first - 1), limit });
  }
}

/** The notices between two numbers of the feed. @param {number} from @param {number} to */
async function between(from, to) {
  const found = [];
  for (let at = from; at < to;) {
    const { items, head } = await read(at, STEP);
    for (const { namespace, name, seq, data } of items) {
      if (namespace === "/account" && name === "notification" && seq <= to) found.push({ .../** @type {any} */ (data), id: String(seq), seq });
    }
    const last = items.at(-1)?.seq ?? head;
    if (last <= at) break;
    at = last;
  }
  for (const notice of found) notices.put(/** @type {any} */ (notice));
  return found.map(({ id }) => id);
}

/** @param {string[]} more */
function add(more) {
  ids.value = [...new Set([...ids.peek(), ...more])].sort((one, other) => Number(other) - Number(one));
}

async function load() {
  const marks = await server.account.sync({ since: 0, limit: 1 }).catch(async () => read(0, 1));
  seen.value = marks.seen;
  first.value = Math.max(0, marks.head - STEP);
  add(await between(first.value, marks.head));
  state.value = "ready";
  if (marks.head > marks.seen) await server.account.seen({ seq: marks.head });
  sawNotices(marks.head);
}

async function earlier() {
  const to = first.peek();
  first.value = Math.max(0, to - STEP);
  add(await between(first.value, to));
}

export function Notifications() {
  const now = live.value;
  useEffect(() => {
    load().catch(refuse);
  }, [now]);
  useEffect(() => server.account.on("notification", (_, { seq }) => seq !== null && add([String(seq)])), []);
  const days = Map.groupBy(ids.value.map((id) => notices.of(id).value).filter(Boolean), ({ at }) => dayOf(at));
  return html`<${View} title="Notifications" kind="narrow">
    ${state.value === "idle" ? html`<${Skeleton} lines=${6} />` : !ids.value.length
      ? html`<${Empty} icon="bell" title="Nothing yet"><p>You are told here of everything that concerns your work and your money.</p></${Empty}>`
      : [...days].map(([day, all]) => html`<section key=${day}><h2 class="home-title">${capital(day)}</h2>
        <ul class="rows card flush">${all.map((notice) => html`<${Line} key=${notice.id} ...${notice} />`)}</ul></section>`)}
    ${state.value === "ready" && first.value > 0 && html`<p><button class="button" type="button" onClick=${() => earlier().catch(refuse)}>Show earlier ones</button></p>`}
  </${View}>`;
}

/** @param {any} notice */
function Line({ seq, kind, title, text, path, at, own }) {
  const fresh = seq > seen.value && !own;
  const icon = BAD.test(kind) ? "circle-alert" : fresh ? "bell-dot" : "bell";
  return html`<li><a class="line timed" href=${path}><${Icon} name=${icon} />
    <span class="grow"><span class="strong">${title}</span>${fresh && html` <span class="badge mine">New</span>`}<br />
      <span class="soft small">${text}</span></span>
    <time class="soft small" datetime=${at} title=${fullTime(at)}>${timeOf(at)}</time></a></li>`;
}
