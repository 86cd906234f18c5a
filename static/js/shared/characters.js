// Characters as people see them, counted as the server counts them (domain/kernel/text_rules.py):
// a family emoji and a letter with its accents are one each. `maxlength` of HTML counts more for them.

const BYTES = 8; // of UTF-8 for one character, in the mean
const PLAIN = /^[\0-\x7f]*$/;
const SHAPELESS = /(?!\u200c|\u200d|[\ufe00-\ufe0f\u{e0020}-\u{e007f}])\p{Default_Ignorable_Code_Point}/gu;
const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const utf8 = new TextEncoder();

/** @param {string} text */
export function countCharacters(text) {
  if (PLAIN.test(text)) return text.length;
  let count = 0;
  for (const _ of segmenter.segment(text.replaceAll(SHAPELESS, ""))) count++;
  return count;
}

/** The first `most` characters. @param {string} text @param {number} most */
export function shorten(text, most) {
  if (text.length <= most) return text;
  let short = "";
  let count = 0;
  for (const { segment } of segmenter.segment(text)) {
    if (++count > most) break;
    short += segment;
  }
  return short;
}

/** What is wrong with the length of a text, or "". @param {string} text @param {number} most */
export function tooLong(text, most) {
  if (text.length <= most) return "";
  const count = countCharacters(text);
  if (count > most) return `At most ${most.toLocaleString()} characters; these are ${count.toLocaleString()}.`;
  const bytes = utf8.encode(text).length;
  return bytes > BYTES * most ? `These characters take too much room: ${bytes.toLocaleString()} of ${(BYTES * most).toLocaleString()} bytes.` : "";
}

/**
 * Marks a field whose text is too long, so that its form is not sent. Returns what is wrong.
 *
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {number} most
 */
export function checkLength(field, most) {
  const problem = tooLong(field.value, most);
  field.setCustomValidity(problem);
  return problem;
}
