// The address /jobs: for a contractor a search, for a customer their own jobs.

import { me } from "../shared/server.js";
import { html } from "../shared/html.js";
import { FindWork } from "./jobs_search.js";
import { OwnJobs } from "./jobs_own.js";

export function Jobs() {
  return me.value?.role === "customer" ? html`<${OwnJobs} />` : html`<${FindWork} />`;
}
