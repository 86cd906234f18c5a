// The web client: its views by their addresses, and what happens when a person comes or goes.

import { render } from "preact";
import { closeAll } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { go, place, startRouter } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { say, sayLeft } from "../shared/toasts.js";
import { Views, openView, view } from "../shared/views.js";
import { Frame } from "./frame.js";
import { forget, startFeed } from "./world.js";

const entry = () => import("./entry.js");
const settings = () => import("./settings.js");
const paying = () => import("./payments.js");
const disputing = () => import("./disputes.js");
const wallet = () => import("./wallet.js");
const receipts = () => import("./receipt.js");
const mailed = () => import("./mailed.js");
const posting = () => import("./jobs_form.js");
const chat = view(() => import("./chat.js"), "Chat");
const ROUTES = {
  "/": view(() => import("./home.js"), "Home"),
  "/chat": { ...chat, key: "chat" },
  "/chat/:id": { ...chat, key: "chat" }, // the list beside it stays
  "/notifications": view(() => import("./notifications.js"), "Notifications"),
  "/settings": view(settings, "Settings"),
  "/settings/security": view(settings, "Security"),
  "/settings/devices": view(settings, "Devices"),
  "/settings/notices": view(settings, "Notices"),
  "/settings/data": view(settings, "Data"),
  "/settings/export/:id": view(settings, "Export"),
  "/offers/new": view(() => import("./offer_new.js"), "OfferNew"),
  "/offers/:id": view(() => import("./offer.js"), "OfferView"),
  "/payments": view(paying, "Payments"),
  "/payments/methods": view(() => import("./payment_methods.js"), "PaymentMethods"),
  "/payments/:id": view(paying, "PaymentView"),
  "/payments/:id/return": view(paying, "PaymentReturn"),
  "/payments/:id/receipt": view(receipts, "PaymentReceipt"),
  "/wallet": view(wallet, "Wallet"),
  "/wallet/withdrawals/:id": view(receipts, "WithdrawalReceipt"),
  "/wallet/onboarding/:how": view(wallet, "Onboarding"),
  "/disputes": view(disputing, "Disputes"),
  "/disputes/:id": view(disputing, "DisputeView"),
  "/work": view(() => import("./work.js"), "Work"),
  "/jobs": view(() => import("./jobs.js"), "Jobs"),
  "/jobs/new": view(posting, "NewJob"),
  "/jobs/:id": view(() => import("./jobs_page.js"), "JobPage"),
  "/jobs/:id/edit": view(posting, "EditJob"),
  "/searches": view(() => import("./jobs_saved.js"), "Searches"),
  "/sign-in": openView(entry, "SignIn"),
  "/register": openView(entry, "Register"),
  "/forgot": openView(mailed, "Forgot"),
  "/reset": openView(mailed, "Reset"),
  "/verify": openView(mailed, "Verify"),
  "/code": openView(mailed, "Code"),
  "/confirm-email": openView(mailed, "ConfirmEmail"),
  "/agree-email": openView(mailed, "AgreeEmail"),
  "/undo-email": openView(mailed, "UndoEmail"),
};

/** Mails lead to `/#/reset/TOKEN`: a server gets nothing of what is behind the #. */
const MAILED = /^#\/([a-z-]+)\/(.+)$/;

/** Stripe's pages lead back to `/?payment=ID` and `/?onboarding=done`. @returns {string | null} */
function returned() {
  const query = new URLSearchParams(location.search);
  const payment = query.get("payment");
  const onboarding = query.get("onboarding");
  if (location.pathname !== "/") return null;
  return payment ? `/payments/${encodeURIComponent(payment)}/return` : onboarding && `/wallet/onboarding/${encodeURIComponent(onboarding)}`;
}

/** A person has signed in, here or in another tab. */
export function enter() {
  me.value = server.user;
  const { path, view: wanted } = place.value;
  const back = new URLSearchParams(location.search).get("next") ?? (wanted?.open ? "/" : path);
  const next = /^\/(?!\/)/.test(back) ? back : "/"; // no other origin
  if (next.startsWith("/docs")) return location.assign(next); // a page of its own
  if (me.value?.role === "admin") {
    if (next.startsWith("/admin")) return location.assign(next);
    return location.assign(next.startsWith("/settings") ? `/admin${next}` : "/admin"); // mails have these addresses for all
  }
  startFeed();
  if (wanted?.open) go(next, { replace: true });
}

/** Only those who are signed in see the views that are not open. */
function guard() {
  const { view: wanted, path } = place.value;
  if (server.user || !wanted || wanted.open) return;
  go(path === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(path + location.search)}`, { replace: true });
}

/** @param {HTMLElement} page */
export function start(page) {
  server.on("end", (reason) => {
    closeAll();
    forget();
    me.value = null;
    if (reason) say(reason, { tone: "bad" });
    guard();
  });
  const [, name, token] = MAILED.exec(location.hash) ?? [];
  if (name) history.replaceState({}, "", `/${name}#${token}`);
  const back = returned();
  if (back) history.replaceState({}, "", back);
  startRouter(ROUTES, guard);
  sayLeft();
  if (server.user) enter();
  if (me.value?.role === "admin") return; // on their way to their own page
  render(html`<${Views} Frame=${Frame} />`, page);
}
