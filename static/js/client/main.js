// The first module: what the address needs, and no more. Visitors do not load the client.

const KEY = "jobsphere.session"; // as in static/client/session.js
const page = /** @type {HTMLElement} */ (document.getElementById("page"));
const landing = /** @type {HTMLTemplateElement} */ (document.getElementById("landing"));

/** Views where people begin, by their sections: these come beside the client, not after it. @type {Record<string, () => Promise<any>>} */
const VIEWS = {
  "": () => import("./home.js"),
  chat: () => import("./chat.js"),
  jobs: () => import("./jobs.js"),
  work: () => import("./work.js"),
};

const [, job] = /^\/jobs\/(job_\w+)$/.exec(location.pathname) ?? [];

if ((location.pathname === "/" || job) && !location.hash.startsWith("#/") && localStorage.getItem(KEY) === null) {
  const shown = /** @type {DocumentFragment} */ (landing.content.cloneNode(true));
  if (job) shown.getElementById("main")?.replaceChildren();
  page.append(shown);
  const { showJob, showJobs } = await import("./landing.js");
  await (job ? showJob(job) : showJobs());
} else {
  const modules = /** @type {HTMLTemplateElement} */ (document.getElementById("client"));
  document.head.append(modules.content.cloneNode(true));
  VIEWS[location.pathname.split("/")[1]]?.().catch(() => {}); // the client says when it fails
  const { start } = await import("./app.js");
  start(page);
}

export {};
