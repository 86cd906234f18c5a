// Everything about one person, and what an administrator can do about them.

import { Linked } from "../shared/links.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Avatar, Badge, Skeleton, View } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { fullTime } from "../shared/times.js";
import { statusOf } from "../shared/words.js";
import { Detail } from "./chain.js";
import { pageOf } from "./ids.js";
import { Id } from "./links.js";
import { adjust, freeze, unfreeze } from "./money_actions.js";
import { settleStranded } from "./settle_actions.js";
import { capital } from "./timeline.js";
import { ban, endSessions, unban } from "./user_actions.js";
import { Facts, Part, useReading, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").UserDetails} Details */
/** @typedef {import("../../client/jobsphere.js").SeenUser} SeenUser */

/** @param {string} user_id */
async function read(user_id) {
  const [details, sessions] = await Promise.all([server.admin.user({ user_id }), server.admin.sessions({ user_id }).catch(() => null)]);
  return { ...details, sessions };
}

/** @param {{id: string}} props */
export function User({ id }) {
  const { found, problem, load } = useReading(() => read(id), [id]);
  const back = { href: "/admin/users", label: "Users" };
  if (!found) return html`<${View} title="User" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { user, profile, sessions } = found;
  const name = user.name || "Deleted user";
  return html`<${View} title=${name} back=${back} kind="wide" heading=${html`<span class="row"><${Avatar} id=${id} name=${name} size="large" online=${profile.online} />${name}</span>`}
    actions=${html`<${Steps} details=${found} load=${load} />`}>
    <div class="columns facts-first"><div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <${Records} details=${found} />
      <${Part} title="Audit trail" more=${`/admin/audit?subject=${id}`}>${found.audit.length ? html`<ul class="rows card flush">${found.audit.map((row) => html`<li class="line wrap" key=${row.id}>
        <span class="grow"><code class="small">${row.operation}</code><${Detail} row=${row} /></span>${row.actor_id && row.actor_id !== id && html`<${Id} id=${row.actor_id} />`}<${Ago} at=${row.at} /></li>`)}</ul>` : html`<p class="card soft">No command has changed the account yet.</p>`}</${Part}>
    </div><aside class="stack">
      <${Account} user=${user} />
      <${Profile} details=${found} />
      <${Wallet} details=${found} load=${load} />
      <${Costs} details=${found} />
      <${Devices} sessions=${sessions} user=${user} load=${load} />
    </aside></div></${View}>`;
}

/** @param {{details: Details, load: () => void}} props */
function Steps({ details: { user, balances }, load }) {
  if (user.deleted_at || user.id === me.value?.id) return null;
  const button = (/** @type {string} */ label, /** @type {import("../shared/icons.js").IconName} */ icon, /** @type {() => Promise<any>} */ act, kind = "") => html`
    <button class=${`button ${kind}`} type="button" onClick=${async () => (await act()) && load()}><${Icon} name=${icon} />${label}</button>`;
  const currency = balances[0]?.currency ?? user.payout_currencies[0] ?? "USD";
  return html`${user.role === "contractor" && html`${user.frozen_at ? button("Unfreeze wallet…", "wallet", () => unfreeze(user)) : button("Freeze wallet…", "snowflake", () => freeze(user))}
      ${button("Correct wallet…", "hand-coins", () => adjust(user, currency))}`}
    ${user.banned_at ? button("Let in again…", "log-in", () => unban(user)) : button("Ban…", "ban", () => ban(user), "danger")}`;
}

/** The states of an account, each with its icon and word. @param {SeenUser} user */
export function statesOf({ banned_at, frozen_at, deleted_at }) {
  const states = [
    deleted_at && { word: "Deleted", icon: "trash-2", tone: "" }, banned_at && { word: "Banned", icon: "ban", tone: "bad" },
    frozen_at && { word: "Wallet frozen", icon: "snowflake", tone: "wait" },
  ].filter(Boolean);
  return /** @type {import("../shared/words.js").Status[]} */ (states.length ? states : [{ word: "Active", icon: "circle-check", tone: "good" }]);
}

/** @param {{user: SeenUser}} props */
function Account({ user }) {
  return html`<section class="card stack" aria-labelledby="account"><h2 id="account">Account</h2>
    <p class="tags">${statesOf(user).map((state) => html`<${Badge} of=${state} key=${state.word} />`)}</p>
    ${user.banned_at && html`<p class="note bad"><${Icon} name="ban" /><span>Banned on ${fullTime(user.banned_at)}: “${user.ban_reason}”</span></p>`}
    ${user.frozen_at && html`<p class="note wait"><${Icon} name="snowflake" /><span>Frozen on ${fullTime(user.frozen_at)}: “${user.frozen_reason}”</span></p>`}
    <${Facts} facts=${[
      ["E-mail", html`<span class="break">${user.email}</span>`], ["Role", user.role], ["Since", html`<${Ago} at=${user.created_at} />`], ["Deleted", user.deleted_at && html`<${Ago} at=${user.deleted_at} />`],
      ["Account at Stripe", user.stripe_account_id && html`<${Id} id=${user.stripe_account_id} />`], ["Customer at Stripe", user.stripe_customer_id && html`<${Id} id=${user.stripe_customer_id} />`],
      ["Takes money", user.role === "contractor" && (user.transfers_active ? "yes" : "not set up")], ["Pays out", user.role === "contractor" && (user.payouts_enabled ? user.payout_currencies.join(", ") || "yes" : "not set up")],
      ["Id", html`<code class="small break">${user.id}</code>`],
    ]} /><p><a href=${`/admin/activity?subject=${user.id}`}>What happened</a> · <a href=${`/admin/audit?actor_id=${user.id}`}>What they did</a></p></section>`;
}

/** @param {{details: Details}} props */
function Profile({ details: { profile } }) {
  return html`<section class="card stack" aria-labelledby="profile"><h2 id="profile">Profile</h2>
    ${profile.headline && html`<p class="strong">${profile.headline}</p>`}${profile.bio && html`<p class="prose small"><${Linked} text=${profile.bio} /></p>`}
    ${profile.skills.length > 0 && html`<p class="tags">${profile.skills.map((skill) => html`<span class="badge" key=${skill}>${skill}</span>`)}</p>`}
    <${Facts} facts=${[
      ["Online", profile.online ? "now" : profile.last_seen_at ? html`<${Ago} at=${profile.last_seen_at} />` : "not yet"], ["Address verified", profile.verified_at ? html`<${Ago} at=${profile.verified_at} />` : "no"],
      ["Second factor", [profile.totp_enabled && "an app", profile.passkey_count && `${profile.passkey_count} ${profile.passkey_count === 1 ? "passkey" : "passkeys"}`].filter(Boolean).join(", ") || "none"],
      ["Mails about money", profile.mail_notices ? "on" : "off"], ["Bank account changed", profile.bank_changed_at && html`<${Ago} at=${profile.bank_changed_at} />`],
    ]} /></section>`;
}

/** @param {{details: Details, load: () => void}} props */
function Wallet({ details: { balances, user }, load }) {
  if (user.role !== "contractor" || !balances.length) return null;
  const parts = /** @type {const} */ ([["available", "Can be withdrawn"], ["pending", "On the way to the wallet"], ["held", "Held for a chargeback"], ["in_transit", "On the way to the bank"], ["stranded", "On a closed or rejected account"], ["debt", "Owed"]]);
  return html`<section class="card stack" aria-labelledby="wallet"><h2 id="wallet">Wallet</h2>${balances.map((balance) => html`<${Facts} key=${balance.currency} facts=${parts.map(([part, label]) =>
    [label, ((balance[part] ?? 0) !== 0 || part === "available") && html`<span class="amount">${display(balance[part] ?? 0, balance.currency)}</span>`])} />
      ${balance.stranded > 0 && html`<div><button class="button small" type="button" onClick=${async () => (await settleStranded(user, balance)) && load()}>Settle…</button></div>`}`)}
    <p><a href=${`/admin/transactions?user_id=${user.id}`}>Journal</a> · <a href=${`/admin/wallets?user_id=${user.id}`}>Accounts</a></p></section>`;
}

/** @param {{details: Details}} props */
function Costs({ details: { costs, user } }) {
  if (!costs) return null;
  return html`<section class="card stack" aria-labelledby="costs"><h2 id="costs">Watched</h2>
    ${costs.card_attempts_until && html`<p class="note wait"><${Icon} name="clock" /><span>Tried too many cards, and has to wait until ${fullTime(costs.card_attempts_until)}.</span></p>`}
    <${Facts} facts=${[["Attempts at cards, 24 h", costs.card_attempts],
      ["Refunds they caused, 24 h", html`${costs.caused_refunds}${costs.caused_refunds_allowed > 0 && ` of ${costs.caused_refunds_allowed}`}`],
      ["Stripe’s fees for these, 30 d", costs.refund_fees.length ? costs.refund_fees.map(({ amount, currency }) => html`<span class="amount" key=${currency}>${display(amount, currency)} </span>`) : "none"]]} />
    <p><a href=${`/admin/payments?customer_id=${user.id}`}>Payments</a></p></section>`;
}

/** @param {{sessions: import("../../client/jobsphere.js").SessionView[] | null, user: SeenUser, load: () => void}} props */
function Devices({ sessions, user, load }) {
  const end = async (/** @type {any} */ session) => (await endSessions(user, session)) && load();
  return html`<section class="card stack" aria-labelledby="devices"><div class="row spread"><h2 id="devices">Devices</h2>
    ${sessions && sessions.length > 0 && user.id !== me.value?.id && html`<button type="button" class="button small" onClick=${() => end(null)}><${Icon} name="log-out" />Sign all out…</button>`}</div>
    ${!sessions ? html`<p class="soft">They cannot be read now.</p>` : !sessions.length ? html`<p class="soft">Nobody is signed in.</p>` : html`<ul class="devices">${sessions.map((session) => html`<li class="row" key=${session.id}>
      <${Icon} name="smartphone" /><span class="grow">${session.device || "Unknown device"}<br /><span class="small soft">${session.address}, last used <${Ago} at=${session.last_used_at} /></span></span>
      ${!session.current && html`<button type="button" class="button small quiet" onClick=${() => end(session)}>Sign out…</button>`}</li>`)}</ul>`}</section>`;
}

/** @type {(user: SeenUser) => [keyof Details, string, string, string | null][]} the records, their title, the kind of their states, and where all are */
const KINDS = ({ id, role }) => {
  const side = `${role === "contractor" ? "contractor" : "customer"}_id=${id}`;
  return [
    ["jobs", "Jobs", "job", `/admin/jobs?${side}`], ["offers", "Offers", "offer", `/admin/offers?${side}`], ["payments", "Payments", "payment", `/admin/payments?${side}`],
    ["transfers", "Transfers", "transfer", `/admin/transfers?user_id=${id}`], ["withdrawals", "Withdrawals", "withdrawal", `/admin/withdrawals?user_id=${id}`],
    ["disputes", "Disputes", "dispute", `/admin/disputes?${side}`], ["chargebacks", "Chargebacks", "chargeback", null],
    ["reports_about", "Reports about them", "report", `/admin/reports?user_id=${id}`], ["reports_by", "Reports by them", "report", `/admin/reports?by=${id}`],
  ];
};

/** @param {{details: Details}} props */
function Records({ details }) {
  const parts = KINDS(details.user).map(([name, title, kind, more]) => ({ title, kind, more, .../** @type {import("../../client/jobsphere.js").UserRecords} */ (details[name]) }));
  const some = parts.filter(({ count }) => count > 0);
  if (!some.length) return html`<p class="card soft">There are no jobs, payments, disputes or reports yet.</p>`;
  return some.map(({ title, kind, count, latest, more }) => html`<${Part} key=${title} title=${`${title}: ${count === 1000 ? "1000 or more" : count}`} more=${count > latest.length ? more : null}>
    <ul class="rows card flush">${latest.map((row) => html`<li class="line wrap" key=${row.id}><span class="grow"><a href=${pageOf(row.id)}>${capital(row.title || words(kind))}</a></span>
      ${row.amount !== null && row.currency && html`<span class="amount">${display(row.amount, row.currency)}</span>`}${row.status && html`<${Badge} of=${statusOf(kind, row.status)} />`}<${Ago} at=${row.created_at} /></li>`)}</ul></${Part}>`);
}
