// One's own account: profile, privacy, signing in, devices, one's data.

import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { confirm } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { create, supported } from "../shared/passkeys.js";
import { Ago, Skeleton, View, showCurrent } from "../shared/pieces.js";
import { lift, me, putMe, server, settingUp, write } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";

const TABS = /** @type {const} */ ([
  ["", "Profile", "user"], ["/security", "Signing in", "key-round"], ["/devices", "Devices", "smartphone"],
  ["/notices", "Notices and privacy", "bell"], ["/data", "Your data", "archive"],
]);

/** Administrators have the same below their own page. */
const base = () => (me.value?.role === "admin" ? "/admin/settings" : "/settings");

/** @param {{tab: string, children: any}} props */
function Frame({ tab, children }) {
  return html`<${View} title="Settings" kind="narrow" actions=${html`<button class="button" type="button" onClick=${leave}>
      <${Icon} name="log-out" />Sign out</button>`}>
    <nav class="segments settings-tabs" aria-label="Settings" ref=${showCurrent}>${TABS.map(([path, label, icon]) => html`<a key=${path}
      href=${`${base()}${path}`} aria-current=${path === tab ? "page" : undefined}><${Icon} name=${icon} />${label}</a>`)}</nav>
    <div class="stack" style=${{ "--gap": "1.5rem" }}>${children}</div></${View}>`;
}

function leave() {
  server.account.logout().catch(() => {}); // it is over here all the same
}

/** @param {{title: string, children: any}} props */
const Card = ({ title, children }) => html`<section class="card stack"><h2>${title}</h2>${children}</section>`;

export function Settings() {
  const user = me.value ?? {};
  const form = useForm(async (fields) => {
    const skills = String(fields.skills ?? "").split(",").map((each) => each.trim()).filter(Boolean);
    const { name, headline = "", bio = "" } = fields;
    putMe(await write(() => server.account.update({ name, headline, bio, ...(user.role === "contractor" && { skills }) })));
    say("Your profile is saved.", { tone: "good" });
  });
  if (user.email === undefined) return html`<${Frame} tab=""><${Skeleton} /></${Frame}>`;
  return html`<${Frame} tab=""><${Card} title="Profile">
    <form class="stack" onSubmit=${form.submit}>
      <${Field} form=${form} name="name" label="Name" required maxlength="80" autocomplete="name" defaultValue=${user.name} />
      <${Field} form=${form} name="headline" label="Headline" maxlength="120" defaultValue=${user.headline} hint="One line about you." />
      <${Field} form=${form} name="bio" label="About you" as="textarea" maxlength="2000" defaultValue=${user.bio} />
      ${user.role === "contractor" && html`<${Field} form=${form} name="skills" label="Skills" defaultValue=${user.skills.join(", ")}
        hint="What you are good at, with commas between." />`}
      <div class="row end"><${Submit} form=${form}>Save</${Submit}></div>
    </form></${Card}></${Frame}>`;
}

/** @typedef {import("../../client/jobsphere.js").NoticeGroup} NoticeGroup */

/** @type {[NoticeGroup, string, string][]} */
const GROUPS = [
  ["offers", "Offers", "New ones, answers, and what ends soon"],
  ["work", "Work", "Deliveries, approvals, ended jobs"],
  ["payments", "Payments", "Failed ones, refunds, chargebacks"],
  ["disputes", "Disputes", "Opened, proposed, decided"],
  ["wallet", "Wallet", "Money that came, payouts, debts"],
];

export function Notices() {
  const user = me.value ?? {};
  const change = async (/** @type {Event} */ event, /** @type {any} */ fields) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    try {
      putMe(await write(() => server.account.update(fields)));
    } catch (refused) {
      input.checked = !input.checked;
      refuse(refused);
    }
  };
  const box = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ hint) => html`
    <label class="check"><input type="checkbox" name=${name} checked=${user[name]}
      onChange=${(/** @type {any} */ event) => change(event, { [name]: event.target.checked })} /><span>${label}</span>
      <span class="hint">${hint}</span></label>`;
  const mute = (/** @type {"muted_mail" | "muted_feed"} */ field, /** @type {NoticeGroup} */ group, /** @type {string} */ label, off = false) => html`
    <td><label class="mute"><input type="checkbox" checked=${!off && !(user[field] ?? []).includes(group)} disabled=${off}
      onChange=${(/** @type {any} */ event) => {
        const others = (user[field] ?? []).filter((/** @type {NoticeGroup} */ each) => each !== group);
        change(event, { [field]: event.target.checked ? others : [...others, group] });
      }} /><span class="visually-hidden">${label}</span></label></td>`;
  const choices = user.role !== "admin" && html`<table class="mutes"><thead><tr><th scope="col">Kind</th>
      <th scope="col">In the app</th><th scope="col">By mail</th></tr></thead><tbody>${GROUPS.map(([group, label, hint]) => html`<tr key=${group}>
    <th scope="row">${label}<br /><span class="soft small">${hint}</span></th>
    ${mute("muted_feed", group, `${label} in the app`)}${mute("muted_mail", group, `${label} by mail`, !user.mail_notices)}</tr>`)}</tbody></table>
    <p class="soft small">What is about signing in, and that a wallet is frozen, is always told.</p>`;
  return html`<${Frame} tab="/notices">
    <${Card} title="Notices">
      ${box("mail_notices", "Mail me about my money", "Frozen wallets and everything about signing in is always mailed.")}
      ${choices}
    </${Card}>
    <${Card} title="Privacy">
      ${box("show_presence", "Show when I am online", "If you hide it, you do not see it of others, either.")}
      ${box("show_receipts", "Show what I have read", "If you hide it, you do not see it of others, either.")}
    </${Card}></${Frame}>`;
}

/** @type {import("@preact/signals").Signal<import("../../client/jobsphere.js").SessionView[] | null>} */
const sessions = signal(null);

const readSessions = async () => (sessions.value = await server.account.sessions());

export function Devices() {
  useEffect(() => {
    readSessions().catch(refuse);
  }, []);
  const end = (/** @type {Promise<any>} */ ending) => ending.then(readSessions).catch(refuse);
  const all = sessions.value;
  return html`<${Frame} tab="/devices"><${Card} title="Where you are signed in">
    ${!all ? html`<${Skeleton} />` : html`<ul class="rows">${all.map(({ id, device, address, last_used_at, current }) => html`
      <li class="line tall" key=${id}><${Icon} name="monitor" />
        <span class="grow"><span class="strong">${device || "Unknown device"}</span><br /><span class="soft small">${address} · used <${Ago} at=${last_used_at} /></span></span>
        <span class="side">${current ? html`<span class="badge good"><${Icon} name="check" />This one</span>`
          : html`<button class="button small" type="button" onClick=${() => end(write(() => server.account.revoke({ session_id: id })))}>
            Sign out<span class="visually-hidden"> ${device || "unknown device"}</span></button>`}</span>
      </li>`)}</ul>
      ${all.length > 1 && html`<div><button class="button danger" type="button" onClick=${() => end(write(() => server.account.sessions_end_others()))}>Sign out all others</button></div>`}`}
  </${Card}></${Frame}>`;
}

/** @type {import("@preact/signals").Signal<import("../../client/jobsphere.js").Passkey[] | null>} */
const passkeys = signal(null);
/** Codes that are being set up. @type {import("@preact/signals").Signal<any>} */
const secret = signal(null);
/** Recovery codes, shown once. @type {import("@preact/signals").Signal<string[] | null>} */
const recovery = signal(null);

async function readFactors() {
  const [user, found] = await Promise.all([server.account.me(), server.account.passkeys()]);
  putMe(user);
  passkeys.value = found.items;
}

/** @param {any} answer what a new factor came with */
async function added(answer) {
  try {
    if (settingUp()) await lift();
  } finally {
    recovery.value = answer.recovery_codes ?? recovery.peek(); // there is no other way to them
  }
  await readFactors();
}

export function Security() {
  const settled = useSignal(passkeys.peek() !== null);
  useEffect(() => {
    readFactors().catch(refuse).finally(() => (settled.value = true));
  }, []);
  const user = me.value ?? {};
  if (!settled.value) return html`<${Frame} tab="/security"><${Skeleton} lines=${8} /></${Frame}>`;
  return html`<${Frame} tab="/security">
    ${settingUp() && html`<p class="note wait"><${Icon} name="shield-alert" />Administrators sign in with a passkey, or with a code beside the
      password. Set one of them up here to go on.</p>`}
    ${recovery.value && html`<section class="card act stack"><h2>Your recovery codes</h2>
      <p>Each signs you in once if you lose your second factor. They are shown only now.</p>
      <ol class="codes">${recovery.value.map((code) => html`<li key=${code}><code>${code}</code></li>`)}</ol>
      <div><button class="button primary" type="button" onClick=${() => (recovery.value = null)}>I have kept them</button></div></section>`}
    ${!settingUp() && html`<${Email} /><${Password} />`}<${Passkeys} />
    <${Card} title="Codes of an authenticator app">${user.totp_enabled ? html`<${CodesOn} />` : html`<${CodesOff} />`}</${Card}>
    ${(user.totp_enabled || user.passkey_count > 0) && html`<${Renewal} />`}
  </${Frame}>`;
}

/** @param {{form: any, name?: string}} props */
const CurrentPassword = ({ form, name = "password" }) => html`<${Field} form=${form} name=${name} label="Current password" type="password"
  autocomplete="current-password" required maxlength="1024" />`;

function Email() {
  const user = me.value ?? {};
  const change = useForm(async (fields, form) => {
    const answer = await withStepUp(() => write(() => server.account.email_change(/** @type {any} */ (fields))));
    form.reset();
    say("agreement_required" in answer
      ? `We have sent links to ${fields.email} and to your old address. The new one counts when you open both.`
      : `We have sent a link to ${fields.email}. The address counts when you open it.`, { tone: "good" });
  });
  const verify = useForm(async ({ code }) => {
    await write(() => server.account.verify({ code }));
    await readFactors();
    say("Your e-mail address is confirmed.", { tone: "good" });
  });
  const mail = () => write(() => server.account.verify_send()).then(() => say("A mail with a code is on its way."), refuse);
  return html`<${Card} title="E-mail">
    <p>${user.email} ${user.verified_at ? html`<span class="badge good"><${Icon} name="check" />Confirmed</span>`
      : html`<span class="badge wait"><${Icon} name="clock" />Not confirmed yet</span>`}</p>
    ${!user.verified_at && html`<form class="row" onSubmit=${verify.submit}>
      <${Field} form=${verify} name="code" label="Code of the mail" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" maxlength="6" required />
      <${Submit} form=${verify}>Confirm</${Submit}><button class="button quiet" type="button" onClick=${mail}>Mail me a code</button></form>`}
    <details><summary>Change your e-mail address</summary><form class="stack" onSubmit=${change.submit}>
      <${CurrentPassword} form=${change} />
      <${Field} form=${change} name="email" label="New e-mail" type="email" required maxlength="254" />
      <div class="row end"><${Submit} form=${change}>Change e-mail</${Submit}></div></form></details></${Card}>`;
}

function Password() {
  const form = useForm(async (fields, element) => {
    await write(() => server.account.password(/** @type {any} */ (fields)));
    element.reset();
    say("Your password was changed, and other devices were signed out.", { tone: "good" });
  });
  return html`<${Card} title="Password"><details><summary>Change your password</summary><form class="stack" onSubmit=${form.submit}>
    <${CurrentPassword} form=${form} name="current_password" />
    <${Field} form=${form} name="password" label="New password" type="password" autocomplete="new-password" required
      minlength="12" maxlength="1024" hint="At least 12 characters; a few uncommon words are best." />
    <div class="row end"><${Submit} form=${form}>Change password</${Submit}></div></form></details></${Card}>`;
}

function Passkeys() {
  const form = useForm(async ({ name }) => {
    await withStepUp(async () => {
      const passkey = await create(await write(() => server.account.passkey_begin()));
      await added(await write(() => server.account.passkey_add({ passkey, name })));
    });
    say("The passkey was added.", { tone: "good" });
  });
  const remove = async (/** @type {import("../../client/jobsphere.js").Passkey} */ { id, name }) => {
    const body = html`<p>“${name}” signs you in no more.</p>`;
    if (!(await confirm({ title: "Remove this passkey?", body, yes: "Remove", danger: true }))) return;
    withStepUp(() => write(() => server.account.passkey_remove({ passkey_id: id }))).then(readFactors).catch(refuse);
  };
  const all = passkeys.value;
  return html`<${Card} title="Passkeys">
    ${!all ? html`<${Skeleton} lines=${1} />` : !all.length ? html`<p class="soft">None yet. A passkey signs in without a password.</p>`
      : html`<ul class="rows">${all.map((passkey) => html`<li class="line" key=${passkey.id}><${Icon} name="fingerprint" />
        <span class="grow"><span class="strong">${passkey.name}</span><br /><span class="soft small">Added <${Ago} at=${passkey.created_at} />
          ${passkey.suspect_at && " · locked, as it may have been copied: remove it"}</span></span>
        <button class="button small" type="button" onClick=${() => remove(passkey)}>Remove</button></li>`)}</ul>`}
    ${supported ? html`<form class="row bottom" onSubmit=${form.submit}>
        <${Field} form=${form} name="name" label="Name of the passkey" defaultValue="This device" required maxlength="80" />
        <${Submit} form=${form}>Add a passkey</${Submit}></form>` : html`<p class="soft">This browser knows no passkeys.</p>`}
  </${Card}>`;
}

/** @param {{form: any}} props */
const CodeField = ({ form }) => html`<${Field} form=${form} name="code" label="Code" autocomplete="one-time-code" required
  minlength="6" maxlength="40" spellcheck="false" />`;

function CodesOff() {
  const begin = useForm(async () => {
    secret.value = await withStepUp(() => write(() => server.account.totp_begin()));
  });
  const form = useForm(async ({ code }) => {
    const answer = await write(() => server.account.totp_confirm({ code }));
    secret.value = null;
    await added(answer);
    say("Signing in needs a code from now on.", { tone: "good" });
  });
  if (!secret.value) return html`<form onSubmit=${begin.submit}><${Submit} form=${begin}>Set up codes</${Submit}></form>`;
  return html`<p>Open <a href=${secret.value.otpauth_url}>this link</a> on the device of your authenticator app, or type the secret there:</p>
    <p><code data-secret>${secret.value.secret}</code></p>
    <form class="row" onSubmit=${form.submit}><${CodeField} form=${form} /><${Submit} form=${form}>Switch codes on</${Submit}></form>`;
}

function CodesOn() {
  const form = useForm(async (fields) => {
    await write(() => server.account.totp_disable(/** @type {any} */ (fields)));
    await readFactors();
  });
  return html`<p><span class="badge good"><${Icon} name="shield-check" />On</span></p>
    <details><summary>Switch codes off</summary><form class="stack" onSubmit=${form.submit}><${CurrentPassword} form=${form} />
      <${CodeField} form=${form} /><div class="row end"><${Submit} form=${form} class="danger">Switch codes off</${Submit}></div></form></details>`;
}

function Renewal() {
  const form = useForm(async (fields, element) => {
    recovery.value = (await write(() => server.account.recovery_codes(/** @type {any} */ (fields)))).recovery_codes;
    element.reset();
  });
  return html`<${Card} title="Recovery codes"><details><summary>Replace the recovery codes</summary>
    <form class="stack" onSubmit=${form.submit}><${CurrentPassword} form=${form} /><${CodeField} form=${form} />
      <div class="row end"><${Submit} form=${form}>Replace</${Submit}></div></form></details></${Card}>`;
}

export function Data() {
  const send = useForm(async (fields, element) => {
    await write(() => server.account.export(/** @type {any} */ (fields)));
    element.reset();
    say("The export has begun. We will mail you when it can be downloaded.", { tone: "good" });
  });
  const remove = useForm(async (fields) => {
    const body = html`<p>Your account, your profile and your messages are removed for good. The books keep their amounts without your name.</p>`;
    if (!(await confirm({ title: "Delete your account?", body, yes: "Delete my account", danger: true }))) return;
    await write(() => server.account.delete(/** @type {any} */ (fields)));
    await server.account.logout().catch(() => {}); // its session is over already
  });
  return html`<${Frame} tab="/data">
    <${Card} title="Export"><p>Everything that we store about you, as one ZIP file. It is kept for seven days.</p>
      <form class="stack" onSubmit=${send.submit}><${CurrentPassword} form=${send} /><div class="row end"><${Submit} form=${send}>Export my data</${Submit}></div></form></${Card}>
    ${me.value?.role !== "admin" && html`<${Card} title="Delete your account"><p>This is possible when nothing is owed in either direction.</p>
      <form class="stack" onSubmit=${remove.submit}><${Field} form=${remove} name="password" label="Current password" type="password"
        autocomplete="current-password" required maxlength="1024" /><div class="row end"><${Submit} form=${remove} class="danger">Delete…</${Submit}></div></form></${Card}>`}
  </${Frame}>`;
}

/** The page that the mail about a finished export leads to. @param {{id: string}} props */
export function Export({ id }) {
  const form = useForm(async () => {
    const { name, blob } = await server.files.get({ file_id: id });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
  return html`<${Frame} tab="/data"><${Card} title="Your data export">
    <p>Everything that we store about you, as one ZIP file. It is kept for seven days.</p>
    <form onSubmit=${form.submit}><${Submit} form=${form}><${Icon} name="download" />Download</${Submit}></form></${Card}></${Frame}>`;
}
