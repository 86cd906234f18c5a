// Passkeys: between the options and answers of the server, which are JSON, and the browser.

import { Refusal } from "../../client/jobsphere.js";

export const supported = Boolean(globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON);

/** A new passkey for the options of `passkey_begin`, as JSON. @param {any} options */
export function create(options) {
  return ask(() => navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
  }));
}

/** What a passkey signs for the options of `passkey_options`, as JSON. @param {any} options */
export function sign(options) {
  return ask(() => navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
  }));
}

/** @param {() => Promise<any>} credential */
async function ask(credential) {
  if (!supported) throw new Refusal({ code: "invalid", message: "This browser knows no passkeys." });
  try {
    return (await credential()).toJSON();
  } catch (refused) {
    if (!(refused instanceof DOMException)) throw refused;
    const known = refused.name === "InvalidStateError";
    const message = known ? "This device has a passkey for you already." : "No passkey was used.";
    throw new Refusal({ code: "invalid", message });
  }
}
