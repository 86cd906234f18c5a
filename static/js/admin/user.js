// Everything about one person, and what an administrator can do about them.

import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { confirm } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { Ago, Avatar, Badge, Skeleton, View } from "../shared/pieces.js";
import { server, write } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";

const SHOWN = 10;

/** @param {string} id */
async function read(id) {
  const limit = SHOWN;
  const [users, wallets, ordered, worked, transactions, reports, audit] = await Promise.all([
    server.admin.users({ q: id, limit: 1 }), server.admin.wallets({ user_id: id, nonzero: true, limit }),
    server.admin.payments({ customer_id: id, limit }), server.admin.payments({ contractor_id: id, limit }),
    server.admin.transactions({ user_id: id, limit }), server.admin.reports({ user_id: id, limit }),
    server.admin.audit({ subject: id, limit }),
  ]);
  const payments = [...ordered.items, ...worked.items];
  return { user: users.items[0], wallets: wallets.items, payments, transactions: transactions.items, reports: reports.items, audit: audit.items };
}

/** @param {{id: string}} props */
export function User({ id }) {
  const found = useMemo(() => signal(/** @type {Awaited<ReturnType<typeof read>> | null} */ (null)), [id]);
  const load = () => read(id).then((all) => (found.value = all), refuse);
  useEffect(() => {
    load();
  }, [id]);
  if (!found.value) return html`<${View} title="User" back=${{ href: "/admin/users", label: "Users" }}><${Skeleton} lines=${8} /></${View}>`;
  const { user, wallets, payments, transactions, reports, audit } = found.value;
  if (!user) return html`<${View} title="There is no such user" back=${{ href: "/admin/users", label: "Users" }} />`;
  const run = async (/** @type {(reason: string) => Promise<any>} */ command, /** @type {any} */ question, /** @type {string} */ done) => {
    const reason = await confirm(question);
    if (reason === undefined) return;
    try {
      await write(() => withStepUp(() => command(reason)));
      say(done, { tone: "good" });
      load();
    } catch (refused) {
      refuse(refused);
    }
  };
  const name = user.name || "Deleted user";
  const ban = () => run((reason) => server.admin.ban({ user_id: id, reason }), {
    title: `Ban ${name}?`, yes: "Ban", danger: true, reason: "Why, for the person and for the trail",
    body: html`<p>All their sessions end at once, and they cannot sign in. Money and work that are agreed go on.</p>`,
  }, `${name} is banned.`);
  const unban = () => run(() => server.admin.unban({ user_id: id }), {
    title: `Let ${name} in again?`, yes: "Let in", body: html`<p>They can sign in from now on.</p>`,
  }, `${name} can sign in again.`);
  const freeze = () => run((reason) => server.admin.freeze({ user_id: id, reason }), {
    title: `Freeze the wallet of ${name}?`, yes: "Freeze", danger: true, reason: "Why",
    body: html`<p>Nothing leaves it until it is unfrozen. They are told by mail.</p>`,
  }, "The wallet is frozen.");
  const unfreeze = () => run((reason) => server.admin.unfreeze({ user_id: id, reason }), {
    title: `Unfreeze the wallet of ${name}?`, yes: "Unfreeze", reason: "Why", body: html`<p>They can withdraw again.</p>`,
  }, "The wallet is open again.");
  const button = (/** @type {string} */ label, /** @type {() => void} */ act, kind = "") => html`<button class=${`button ${kind}`} type="button" onClick=${act}>${label}</button>`;
  return html`<${View} title=${name} back=${{ href: "/admin/users", label: "Users" }}
    heading=${html`<span class="row"><${Avatar} id=${id} name=${name} size="large" />${name}</span>`}
    actions=${user.role !== "admin" && html`${user.frozen_at ? button("Unfreeze wallet", unfreeze) : user.role === "contractor" && button("Freeze wallet", freeze)}
      ${user.banned_at ? button("Let in again", unban) : button("Ban", ban, "danger")}`}>
    <div class="stack" style=${{ "--gap": "1.5rem" }}>
      <section class="card"><dl class="facts">
        <div><dt>E-mail</dt><dd>${user.email}</dd></div><div><dt>Role</dt><dd>${user.role}</dd></div><div><dt>Since</dt><dd><${Ago} at=${user.created_at} /></dd></div>
        <div><dt>Stripe</dt><dd>${user.stripe_account_id ?? user.stripe_customer_id ?? "none"}</dd></div>
        ${user.role === "contractor" && html`<div><dt>Payouts</dt><dd>${user.payouts_enabled ? "set up" : "not set up"}</dd></div>`}
        ${user.banned_at && html`<div><dt>Banned</dt><dd>${user.ban_reason}</dd></div>`}
        ${user.frozen_at && html`<div><dt>Frozen</dt><dd>${user.frozen_reason}</dd></div>`}
      </dl></section>
      <${Part} title="Balances" rows=${wallets} line=${(/** @type {any} */ row) => html`<code class="grow small">${row.account}</code><span class="amount">${display(row.amount, row.currency)}</span>`} />
      <${Part} title="Payments" rows=${payments} line=${(/** @type {any} */ row) => html`<span class="grow"><${Id} id=${row.id} /></span><span class="amount">${display(row.amount, row.currency)}</span>
        <${Badge} of=${statusOf("payment", row.status)} />`} />
      <${Part} title="Journal" rows=${transactions} more=${`/admin/transactions?user_id=${id}`} line=${(/** @type {any} */ row) => html`<span class="grow">${row.kind.replaceAll("_", " ")}</span><${Ago} at=${row.created_at} />`} />
      <${Part} title="Reports about them" rows=${reports} more=${`/admin/reports?user_id=${id}`} line=${(/** @type {any} */ row) => html`<span class="grow">${row.reason}: “${row.said}”</span><${Id} id=${row.by} />`} />
      <${Part} title="Audit trail" rows=${audit} more=${`/admin/audit?subject=${id}`} line=${(/** @type {any} */ row) => html`<span class="grow">${row.operation}</span><${Id} id=${row.actor_id} /><${Ago} at=${row.at} />`} />
    </div></${View}>`;
}

/** @param {{title: string, rows: any[], line: (row: any) => any, more?: string}} props */
function Part({ title, rows, line, more }) {
  if (!rows.length) return null;
  return html`<section><div class="row spread"><h2 class="home-title">${title}</h2>${more && html`<a class="small" href=${more}>All</a>`}</div>
    <ul class="rows card flush">${rows.map((row) => html`<li class="line" key=${row.id}>${line(row)}</li>`)}</ul></section>`;
}
