// When a command asks who one is (step_up_required): the question, and the command again after it.

import { codeField, passwordField } from "./account.js";
import { button, form } from "./parts.js";
import { api } from "./api.js";
import { changed } from "./state.js";
import { el } from "./dom.js";
import { sign } from "./passkeys.js";

let asked = null; // {methods, again}

/** Ask, then do `again()`. */
export function askStepUp({ methods }, again) {
  asked = { methods, again };
}

export function stepUpCard() {
  if (!asked) return null;
  const { methods } = asked;
  return el(
    "div.card.act.asking", { "data-key": "step-up", role: "dialog", "aria-label": "Confirm that it is you" },
    el("h2", {}, "Confirm that it is you"),
    methods.includes("passkey") && el("div.actions", {},
      button("Use a passkey", "step_up_passkey", "", "primary")),
    form("step_up", "", "Confirm", passwordField(),
      methods.includes("code") && codeField("Code")),
    button("Not now", "step_up_cancel", "", "quiet"),
  );
}

async function confirm(fields) {
  await api.post("/api/account/step_up", fields);
  const { again } = asked;
  asked = null;
  changed();
  await again();
}

export const stepUpActions = {
  step_up: ({ fields }) => confirm(fields),
  async step_up_passkey() {
    await confirm({ passkey: await sign(await api.ask("/api/account/passkey_options", {})) });
  },
  step_up_cancel() {
    asked = null;
  },
};
