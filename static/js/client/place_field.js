// A field for a place: the name of a large city, coordinates, or where the browser is.

import { useId, useState } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { displayPoint, fold, loadCities, locate, nameOf, parsePoint, suggest, titleOf } from "./places.js";

/**
 * @param {{label: string, hint?: string, name?: string, value: {point: import("./places.js").Point, text: string} | null,
 *   onChange: (value: {point: import("./places.js").Point, text: string} | null) => void, problem?: string}} props
 */
export function PlaceField({ label, hint, name = "place", value, onChange, problem: given }) {
  const id = useId();
  const [typed, setTyped] = useState(/** @type {string | null} */ (null)); // null: what is chosen
  const [problem, setProblem] = useState("");
  const [locating, setLocating] = useState(false);
  const text = typed ?? value?.text ?? "";
  const found = typed ? suggest(typed) : [];
  const shown = problem || given;

  const choose = (/** @type {import("./places.js").Point} */ point, /** @type {string} */ words) => {
    setTyped(null);
    setProblem("");
    onChange({ point: { lon: point.lon, lat: point.lat }, text: words });
  };
  const input = (/** @type {Event} */ event) => {
    const words = /** @type {HTMLInputElement} */ (event.target).value;
    setProblem("");
    const picked = suggest(words).find((city) => fold(titleOf(city)) === fold(words));
    if (picked) choose(picked, titleOf(picked));
    else setTyped(words);
  };
  const settle = async () => {
    if (typed === null) return;
    if (!typed.trim()) {
      setTyped(null);
      onChange(null);
      return;
    }
    const point = parsePoint(typed);
    if (point) return choose(point, displayPoint(point));
    await loadCities();
    const [city] = suggest(typed);
    if (city) choose(city, titleOf(city));
    else setProblem("This place is not known here. Write a larger city near it, or coordinates such as 52.52, 13.41.");
  };
  const here = async () => {
    setLocating(true);
    try {
      const point = await locate();
      await loadCities();
      choose(point, nameOf(point));
    } catch (refused) {
      setProblem(/** @type {Error} */ (refused).message);
    } finally {
      setLocating(false);
    }
  };
  const enter = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || typed === null) return;
    event.preventDefault();
    settle();
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div class="place-input">
      <input class="input" id=${id} name=${name} value=${text} list=${`${id}-cities`} autocomplete="off"
        placeholder="City or coordinates" aria-invalid=${shown ? "true" : undefined}
        aria-describedby=${[hint && `${id}-hint`, shown && `${id}-problem`].filter(Boolean).join(" ") || undefined}
        onFocus=${loadCities} onInput=${input} onChange=${settle} onBlur=${settle} onKeyDown=${enter} />
      <button type="button" class="button icon-only" onClick=${here} aria-busy=${locating ? "true" : undefined}
        title="Use my position"><${Icon} name=${locating ? "loader-circle" : "locate"} /><span class="visually-hidden">Use my position</span></button>
    </div>
    <datalist id=${`${id}-cities`}>${found.map((city) => html`<option value=${titleOf(city)} key=${`${city.lat} ${city.lon}`} />`)}</datalist>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${shown && html`<p class="problem" id=${`${id}-problem`} role="alert"><${Icon} name="circle-alert" />${shown}</p>`}
  </div>`;
}
