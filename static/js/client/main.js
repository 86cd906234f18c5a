// The first module: what the address needs, and no more. Nobody who only looks in loads the client.

const KEY = "jobsphere.session"; // as in static/client/session.js
const page = /** @type {HTMLElement} */ (document.getElementById("page"));
const landing = /** @type {HTMLTemplateElement} */ (document.getElementById("landing"));

if (location.pathname === "/" && !location.hash && localStorage.getItem(KEY) === null) {
  page.append(landing.content.cloneNode(true));
} else {
  const modules = /** @type {HTMLTemplateElement} */ (document.getElementById("client"));
  document.head.append(modules.content.cloneNode(true));
  const { start } = await import("./app.js");
  start(page);
}

export {};
