// The administrators' page: its views by their addresses.

import { render } from "preact";
import { closeAll } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { place, startRouter } from "../shared/router.js";
import { me, putMe, server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { Views, view } from "../shared/views.js";
import { Frame } from "./frame.js";

const settings = () => import("../client/settings.js");
const ROUTES = {
  "/admin": view(() => import("./monitor.js"), "Monitor"),
  "/admin/users/:id": view(() => import("./user.js"), "User"),
  "/admin/payments/:id": view(() => import("./payment.js"), "Payment"),
  "/admin/settings": view(settings, "Settings"),
  "/admin/settings/security": view(settings, "Security"),
  "/admin/settings/devices": view(settings, "Devices"),
  "/admin/settings/notices": view(settings, "Notices"),
  "/admin/:list": view(() => import("./list.js"), "List"),
};

/** Administrators sign in on the client's page, and others have nothing here. */
function guard() {
  const { user } = server;
  if (!user) location.assign(`/sign-in?next=${encodeURIComponent(place.value.path + location.search)}`);
  else if (user.role !== "admin") location.assign("/");
  return user?.role === "admin";
}

server.on("end", () => {
  closeAll();
  me.value = null;
  guard();
});
startRouter(ROUTES, guard);
if (guard()) {
  render(html`<${Views} Frame=${Frame} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
  server.connect({ patience: Infinity }).catch(() => {}); // `end` tells why
  server.account.me().then(putMe, refuse);
}
