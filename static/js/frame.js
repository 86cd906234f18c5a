// What every page has around its content: the bar, notices, drawing, and running actions.

import { changed, dismiss, notify, onChange, state } from "./state.js";
import { delegate, el, morph } from "./dom.js";
import { Refusal } from "../client/refusal.js";
import { api } from "./api.js";
import { askStepUp, stepUpActions, stepUpCard } from "./step_up.js";

export function brand(href) {
  return el("a.brand", { href }, el("img", { src: "/static/favicon.svg", alt: "", width: 28, height: 28 }),
    "JobSphere");
}

export function liveMark() {
  return el(state.live ? "span.live.on" : "span.live", { role: "status" },
    state.live ? "Live" : "Connecting…");
}

export function person(...more) {
  return el(
    "div.person", {}, liveMark(), el("a.name", { href: "#/account" }, state.user.name), more,
    el("button.quiet", { type: "button", "data-action": "sign_out" }, "Sign out"),
  );
}

function notice({ id, kind, text, link }) {
  return el(
    `div.notice.${kind}`, { "data-key": id },
    link ? el("a", { href: link }, text) : el("span", {}, text),
    el("button.quiet", { type: "button", "data-action": "dismiss", "data-id": id, "aria-label": "Dismiss" }, "×"),
  );
}

/** Draw `view()` into #page at each change, and the notices beside it; `find(name)` is an action. */
export function mount(view, find) {
  const page = document.getElementById("page");
  const [refusals, news] = ["refusals", "news"].map((id) => document.getElementById(id));
  onChange(() => {
    const lists = [...page.querySelectorAll(".messages")].map(followed);
    morph(page, el("div.page", { id: "page" }, ...[view()].flat(), state.user && stepUpCard()));
    lists.forEach((follow) => follow());
    page.querySelectorAll(".messages").forEach(toEndOnce);
    const shown = (kind) => state.notices.filter((each) => each.kind === kind).map(notice);
    morph(refusals, el("div", { id: "refusals", role: "alert" }, shown("refusal")));
    morph(news, el("div", { id: "news", role: "status" }, shown("news")));
  });
  delegate(document.body, (name, event) => run(find(name), name, event));
  changed();
}

/** A list of messages that is at its end stays there as it grows. */
function followed(list) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const before = list.dataset.end;
  return () => {
    if (atEnd && list.isConnected && list.dataset.end !== before) list.scrollTop = list.scrollHeight;
  };
}

const placed = new WeakSet();

function toEndOnce(list) {
  if (!placed.has(list)) list.scrollTop = list.scrollHeight;
  placed.add(list);
}

/** One action at a time for each button; a refusal is shown in the server's own words. */
async function run(action, name, event) {
  const busy = `${name}:${event.id ?? ""}`;
  if (state.busy.has(busy)) return;
  state.busy.add(busy);
  changed();
  try {
    await action(event);
  } catch (problem) {
    if (problem.code === "step_up_required") askStepUp(problem.details, () => action(event));
    else refuse(problem);
  } finally {
    state.busy.delete(busy);
    changed();
  }
}

export function refuse(problem) {
  const meant = problem instanceof Refusal;
  if (!meant) console.error(problem);
  notify(meant ? problem.message : "Something went wrong on this page.", { kind: "refusal" });
}

export const frameActions = {
  dismiss: ({ id }) => dismiss(id),
  sign_out: () => api.signOut(),
  ...stepUpActions,
};
