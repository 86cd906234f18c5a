// The administrators' page: its views by their addresses.

import { render } from "preact";
import { closeAll } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { go, place, startRouter } from "../shared/router.js";
import { me, putMe, server, settingUp } from "../shared/server.js";
import { refuse, say, sayNext } from "../shared/toasts.js";
import { Views, view } from "../shared/views.js";
import { Frame } from "./frame.js";

const settings = () => import("../client/settings.js");
const ROUTES = {
  "/admin": view(() => import("./monitor.js"), "Monitor"),
  "/admin/users/:id": view(() => import("./user.js"), "User"),
  "/admin/payments/:id": view(() => import("./payment.js"), "Payment"),
  "/admin/jobs/:id": view(() => import("./job.js"), "JobRecord"),
  "/admin/offers/:id": view(() => import("./job.js"), "OfferRecord"),
  "/admin/activity": view(() => import("./activity.js"), "Activity"),
  "/admin/alerts": view(() => import("./alerts.js"), "Alerts"),
  "/admin/disputes/:id": view(() => import("./dispute.js"), "Dispute"),
  "/admin/chargebacks/:id": view(() => import("./chargeback.js"), "Chargeback"),
  "/admin/webhook-events/:id": view(() => import("./stripe_event.js"), "StripeEvent"),
  "/admin/reconciliations/:id": view(() => import("./reconciliation.js"), "Reconciliation"),
  "/admin/commissions": view(() => import("./commissions.js"), "Commissions"),
  "/admin/settings": view(settings, "Settings"),
  "/admin/settings/security": view(settings, "Security"),
  "/admin/settings/devices": view(settings, "Devices"),
  "/admin/settings/notices": view(settings, "Notices"),
  "/admin/settings/data": view(settings, "Data"),
  "/admin/settings/export/:id": view(settings, "Export"),
  "/admin/:list": view(() => import("./list.js"), "List"),
};

const SECURITY = "/admin/settings/security";
let connecting = false;

/** Administrators sign in on the client's page, and others have nothing here. */
function guard() {
  const { user } = server;
  if (!user) location.assign(`/sign-in?next=${encodeURIComponent(place.value.path + location.search)}`);
  else if (user.role !== "admin") location.assign("/");
  else if (!settingUp()) connect();
  else if (place.value.path !== SECURITY) go(SECURITY, { replace: true });
  return user?.role === "admin";
}

function connect() {
  if (connecting) return;
  connecting = true;
  server.connect({ namespaces: ["/account", "/admin"], patience: Infinity }).catch(() => {}); // `end` tells why
}

server.on("end", (reason) => {
  closeAll();
  if (reason) sayNext(reason, { tone: "bad" });
  me.value = null;
  guard();
});
server.account.on("notification", ({ kind, title, path, own }) => {
  const link = path.startsWith("/settings") ? `/admin${path}` : undefined;
  if (!own) say(`${title}.`, { tone: kind === "export_ready" ? "good" : "bad", link });
});
startRouter(ROUTES, guard);
if (guard()) {
  render(html`<${Views} Frame=${Frame} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
  server.account.me().then(putMe, refuse);
}
