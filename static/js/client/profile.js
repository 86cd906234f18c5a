// The profile of the other side of an application, in a dialog.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { DialogHeader, open } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { Avatar, Skeleton } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { dayOf } from "../shared/times.js";
import { Skills } from "./jobs_pieces.js";

const MOST_COUNTED = 100;

/** @param {string} user_id @param {string} name */
export function showProfile(user_id, name) {
  return open((/** @type {{close: (answer?: any) => void}} */ { close }) => html`<${Profile} user_id=${user_id} name=${name} close=${close} />`);
}

/** @param {{user_id: string, name: string, close: (answer?: any) => void}} props */
function Profile({ user_id, name, close }) {
  const profile = useSignal(/** @type {import("../../client/jobsphere.js").PublicProfile | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  useEffect(() => {
    server.account.profile({ user_id }).then((found) => (profile.value = found), (refused) => (problem.value = refused));
  }, [user_id]);
  const found = profile.value;
  return html`<${DialogHeader} title=${name} close=${close} />
    <div class="body stack">
      ${problem.value && html`<${Problem} problem=${problem.value} />`}
      ${!found && !problem.value && html`<${Skeleton} lines=${5} />`}
      ${found && html`<div class="row"><${Avatar} id=${found.id} name=${found.name} size="large" />
          <span class="grow"><span class="strong">${found.headline || (found.role === "contractor" ? "Contractor" : "Customer")}</span><br />
            <span class="soft small">On JobSphere since ${dayOf(found.created_at)}</span></span></div>
        <dl class="facts"><div><dt>Completed jobs</dt><dd>${found.completed_jobs >= MOST_COUNTED ? `${MOST_COUNTED} or more` : found.completed_jobs}</dd></div>
          ${found.role === "contractor" && html`<div><dt>Bank account</dt><dd>${found.payouts_enabled
            ? html`<span class="badge good"><${Icon} name="check" />Set up</span>` : html`<span class="badge"><${Icon} name="circle" />Not yet</span>`}</dd></div>`}</dl>
        <${Skills} skills=${found.skills} />
        ${found.bio ? html`<p class="prose">${found.bio}</p>` : html`<p class="soft">Nothing is written here yet.</p>`}`}
    </div>
    <footer><button type="button" class="button" onClick=${() => close()}>Close</button></footer>`;
}
