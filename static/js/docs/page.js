// What the documents' page knows besides the documents, and drawing it again after a change.

import { signal } from "@preact/signals";
import { unique } from "../../client/waiting.js";
import { say } from "../shared/toasts.js";

const LANGUAGE = "jobsphere.docs.language";
const COPIED_MS = 2_000;

export const page = {
  origin: location.origin,
  key: unique(),
  language: localStorage.getItem(LANGUAGE) ?? "curl",
  copied: "",
};

/** Counts changes: what reads it is drawn again. */
export const drawing = signal(0);

export function changed() {
  drawing.value += 1;
}

/** Choose the language of all examples. */
export function choose(language) {
  page.language = language;
  localStorage.setItem(LANGUAGE, language);
  changed();
}

export async function copy(text) {
  if (!navigator.clipboard) { // pages over TLS and of this host have one
    say("Browsers let pages copy over TLS only. Select the text instead.");
    return;
  }
  await navigator.clipboard.writeText(text);
  page.copied = text;
  changed();
  setTimeout(() => {
    page.copied = "";
    changed();
  }, COPIED_MS);
}
