// Blocking somebody, and reporting what they said.

import { DialogHeader, confirm, open } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { block } from "./talks.js";

const REASONS = /** @type {const} */ ([
  ["abuse", "It is abusive", "Insults, threats, harassment."],
  ["fraud", "It looks like fraud", "Payment outside JobSphere, false promises."],
  ["spam", "It is spam", "Advertising that nobody asked for."],
  ["other", "Something else", ""],
]);

/** Report a message, or the whole conversation without one. @param {string} conversation_id @param {string} [message_id] */
export async function report(conversation_id, message_id) {
  const Form = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const form = useForm(async (fields) => {
      await write(() => server.chat.report(/** @type {any} */ ({ ...fields, conversation_id, ...(message_id && { message_id }) })));
      close(true);
    });
    return html`<form onSubmit=${form.submit}>
      <${DialogHeader} title=${message_id ? "Report this message" : "Report this conversation"} close=${close} />
      <div class="body">
        <fieldset class="choices"><legend>What is wrong?</legend>${REASONS.map(([reason, label, hint]) => html`
          <label class="choice" key=${reason}><input type="radio" name="reason" value=${reason} required />
            <span><span class="strong">${label}</span>${hint && html`<br /><span class="soft small">${hint}</span>`}</span></label>`)}</fieldset>
        <${Field} form=${form} as="textarea" name="text" label="What should we know?" maxlength="2000" />
        <p class="note"><${Icon} name="info" />The other person is not told. An administrator looks at it.</p>
      </div>
      <footer><button type="button" class="button" onClick=${() => close(undefined)}>Cancel</button>
        <${Submit} form=${form}>Report</${Submit}></footer>
    </form>`;
  };
  if (await open(Form)) say("Thank you: an administrator will look at it.", { tone: "good" });
}

/** @param {string} id @param {string} name @param {boolean} on */
export async function askToBlock(id, name, on) {
  const body = html`<p>Neither of you can write to the other any more, in any conversation. ${name} is not told, but sees it
    when they try. Offers and work go on. You can end it at any time.</p>`;
  if (on && !(await confirm({ title: `Block ${name}?`, body, yes: "Block", danger: true }))) return;
  await block(id, on).catch(refuse);
}
