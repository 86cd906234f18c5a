// Commands that ask who one is (step_up_required): the question, and the command again after it.

import { html } from "./html.js";
import { DialogHeader, open } from "./dialog.js";
import { Field, Submit, useForm } from "./form.js";
import { Icon } from "./icon.js";
import { sign, supported } from "./passkeys.js";
import { Refusal, server, write } from "./server.js";

/**
 * Run a command, and again after the person has confirmed who they are, if it asks for that.
 *
 * @template T
 * @param {() => Promise<T>} command
 * @returns {Promise<T>}
 */
export async function withStepUp(command) {
  try {
    return await command();
  } catch (refused) {
    if (!(refused instanceof Refusal) || refused.code !== "step_up_required") throw refused;
    const { methods } = refused.details;
    if (!(await open((/** @type {any} */ props) => html`<${Question} methods=${methods} ...${props} />`))) throw refused;
    return command();
  }
}

/** @param {{methods: string[], close: (answer?: any) => void}} props */
function Question({ methods, close }) {
  const form = useForm(async (fields) => {
    await write(() => server.account.step_up(fields));
    close(true);
  });
  const passkey = useForm(async () => {
    const passkey = await sign(await server.account.passkey_options({}));
    await write(() => server.account.step_up({ passkey }));
    close(true);
  });
  return html`<div class="sheet">
    <${DialogHeader} title="Confirm that it is you" close=${close} />
    <div class="body">
      ${methods.includes("passkey") && supported && html`<form onSubmit=${passkey.submit}>
        <${Submit} form=${passkey} class="primary block"><${Icon} name="fingerprint" />Use a passkey</${Submit}></form>`}
      <form class="stack" onSubmit=${form.submit}>
        <${Field} form=${form} name="password" label="Password" type="password" autocomplete="current-password" required maxlength="1024" />
        ${methods.includes("code") && html`<${Field} form=${form} name="code" label="Code" inputmode="numeric"
          autocomplete="one-time-code" required maxlength="32" hint="Of your app, or a recovery code." />`}
        <div class="row end"><${Submit} form=${form}>Confirm</${Submit}></div>
      </form>
    </div>
  </div>`;
}
