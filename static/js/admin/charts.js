// A chart: a title, the value in words, the lines, and a table of the same figures.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { html } from "../shared/html.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {(number | null)[]} values
 * @property {boolean} [dashed]
 * @property {boolean} [bad] whether it is what should not be
 *
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} now the value in words
 * @property {Line[]} lines
 * @property {"lines" | "bars"} [kind]
 * @property {boolean} [joined] whether lines go on over times without a value
 * @property {number} [top] the end of the scale where all values are zero
 * @property {boolean} [whole] whether there are only whole numbers
 * @property {(value: number) => string} format
 * @property {(value: number) => string} [axis] shorter, beside the lines
 */

const HEIGHT = 152;
const MAX_ROWS = 24; // of the table
const DAY_SECONDS = 86_400;
const WHOLE = Array.from({ length: 36 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const moment = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** "14:05", "5 Mar, 14:05" or "5 Mar" by the distance of the values. @param {number} at @param {number} step */
export function timeText(at, step) {
  const format = step >= DAY_SECONDS ? day : step > 300 ? moment : clock;
  return format.format(at * 1_000);
}

/** The colour of a line, by its number in the tokens. @param {Line} line @param {number} at */
const colorNumber = ({ bad }, at) => (bad ? 2 : [1, 3, 4][at % 3]);

/** All lines at one place: "3 captured, 1 failed". @param {Chart} chart @param {number} place */
function wordsAt({ lines, format }, place) {
  const parts = lines.map(({ label, values }) => {
    const value = values[place];
    return value === null || value === undefined ? null : lines.length > 1 ? `${label} ${format(value)}` : format(value);
  });
  return parts.filter(Boolean).join(", ") || "not known";
}

/** @param {{chart: Chart, times: number[], step: number}} props */
export function ChartCard({ chart, times, step }) {
  const { title, now, lines } = chart;
  const [place, setPlace] = useState(/** @type {number | null} */ (null));
  const empty = lines.every(({ values }) => values.every((value) => value === null));
  const hovered = place !== null && place < times.length;
  return html`<figure class="card chart">
    <figcaption><h3>${title}</h3><p class="now">${now}</p></figcaption>
    ${lines.length > 1 && html`<ul class="legend">${lines.map((line, at) => html`<li key=${line.label}>
      <i class=${`swatch chart-${colorNumber(line, at)} ${line.dashed ? "dashed" : ""}`} aria-hidden="true"></i>${line.label}</li>`)}</ul>`}
    <div class="frame">${empty ? html`<p class="plot none">Nothing to show in this time.</p>` : html`<${Plot} chart=${chart} times=${times} step=${step} onPlace=${setPlace} />`}
      ${hovered && html`<p class="at" aria-hidden="true">${timeText(times[place], step)}: ${wordsAt(chart, place)}</p>`}</div>
    <${Table} chart=${chart} times=${times} step=${step} />
  </figure>`;
}

/** What some places have together: of bars the sum, of lines the last value. @param {Chart} chart @param {(number | null)[]} values */
function together({ kind }, values) {
  const known = values.filter((value) => value !== null);
  if (kind !== "bars") return known.at(-1) ?? null;
  return known.length ? known.reduce((all, value) => all + value, 0) : null;
}

/**
 * The same figures as text; made when it is opened. A row of a long series is for several values.
 *
 * @param {{chart: Chart, times: number[], step: number}} props
 */
function Table({ chart, times, step }) {
  const [open, setOpen] = useState(false);
  const { title, lines, format } = chart;
  const every = Math.max(1, Math.ceil(times.length / MAX_ROWS));
  const places = open ? times.map((_, at) => at).filter((at) => at % every === 0).reverse() : [];
  return html`<details onToggle=${(/** @type {any} */ { target }) => setOpen(target.open)}><summary>As a table<span class="visually-hidden">: ${title}</span></summary>
    ${open && html`<div class="chart-table" tabindex="0" role="region" aria-label=${title}><table>
      <thead><tr><th scope="col">From</th>${lines.map(({ label }) => html`<th scope="col" key=${label}>${label}</th>`)}</tr></thead>
      <tbody>${places.map((at) => html`<tr key=${times[at]}><th scope="row">${timeText(times[at], step)}</th>${lines.map(({ label, values }) => {
        const value = together(chart, values.slice(at, at + every));
        return html`<td key=${label}>${value === null ? "–" : format(value)}</td>`;
      })}</tr>`)}</tbody></table></div>`}
  </details>`;
}

/** @param {{chart: Chart, times: number[], step: number, onPlace: (place: number | null) => void}} props */
function Plot({ chart, times, step, onPlace }) {
  const element = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const format = useRef(chart);
  format.current = chart;
  const scheme = useScheme();
  const shape = `${scheme} ${chart.kind} ${step >= DAY_SECONDS} ${chart.lines.map(({ label, dashed }) => label + dashed).join()}`;
  const data = /** @type {uPlot.AlignedData} */ ([times, ...(chart.kind === "bars" ? stacked(chart.lines) : chart.lines.map(({ values }) => values))]);
  useEffect(() => {
    const place = /** @type {HTMLDivElement} */ (element.current);
    const made = new uPlot(optionsOf(place, format, onPlace), data, place);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: place.clientWidth, height: HEIGHT }));
    resized.observe(place);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [times, chart]);
  return html`<div class="plot" ref=${element} aria-hidden="true"><i class="grid-color" hidden></i>
    ${chart.lines.map((line, at) => html`<i class=${`swatch chart-${colorNumber(line, at)}`} hidden key=${line.label}></i>`)}</div>`;
}

/** Bars that stand on each other: the whole ones first, because the later ones cover them. @param {Line[]} lines */
function stacked(lines) {
  const sums = lines.map((_, at) => lines[0].values.map((_, place) => {
    const parts = lines.slice(0, at + 1).map(({ values }) => values[place]);
    return parts.every((part) => part === null) ? null : parts.reduce((/** @type {number} */ all, part) => all + (part ?? 0), 0);
  }));
  return sums.reverse();
}

/** The places of the points that no line goes to. @param {uPlot} plot @param {number} series @param {boolean} joined */
function alone(plot, series, joined) {
  const list = plot.data[series];
  const known = [...list.keys()].filter((place) => list[place] !== null);
  if (joined) return known.length === 1 ? known : [];
  return known.filter((place) => (list[place - 1] ?? null) === null && (list[place + 1] ?? null) === null);
}

/**
 * @param {HTMLDivElement} place whose hidden elements have the colours of the theme
 * @param {{current: Chart}} chart
 * @param {(place: number | null) => void} onPlace
 * @returns {uPlot.Options}
 */
function optionsOf(place, chart, onPlace) {
  const { kind = "lines", joined = false, whole = false, top = 1, lines } = chart.current;
  const { color: soft, fontFamily } = getComputedStyle(place);
  const colorOf = (/** @type {string} */ name) => getComputedStyle(/** @type {Element} */ (place.querySelector(name))).color;
  const colors = lines.map((line, at) => colorOf(`.chart-${colorNumber(line, at)}`));
  const font = `11px ${fontFamily}`;
  const bars = kind === "bars" ? /** @type {uPlot.Series.BarsPathBuilderFactory} */ (uPlot.paths.bars)({ size: [0.7, 24] }) : undefined;
  const axis = (/** @type {number} */ value) => (chart.current.axis ?? chart.current.format)(value);
  return {
    width: place.clientWidth, height: HEIGHT, padding: [8, 8, 0, 0], legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "monitor" } },
    scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), most > Math.min(0, least) ? most * 1.05 : top] } },
    axes: [
      { stroke: soft, font, size: 26, space: 56, grid: { show: false }, ticks: { show: false }, values: (_, splits, _axis, _space, distance) => splits.map((at) => (distance >= DAY_SECONDS ? day : clock).format(at * 1_000)) },
      { stroke: soft, font, size: widthOf(font), space: 36, incrs: whole ? WHOLE : undefined, grid: { stroke: colorOf(".grid-color"), width: 1 }, ticks: { show: false }, values: (_, splits) => splits.map(axis) },
    ],
    series: [{}, ...(bars ? colors.toReversed().map((color) => ({ stroke: color, fill: color, width: 0, paths: bars, points: { show: false } }))
      : lines.map(({ dashed }, at) => ({
        stroke: colors[at], width: 1.75, dash: dashed ? [4, 4] : undefined, spanGaps: joined,
        points: { show: true, size: 5, fill: colors[at], filter: (/** @type {uPlot} */ plot, /** @type {number} */ series) => alone(plot, series, joined) },
      })))],
    hooks: { setCursor: [({ cursor }) => onPlace(cursor.idx ?? null)] },
  };
}

/** The room that the longest number beside the lines needs. @param {string} font @returns {uPlot.Axis.Size} */
function widthOf(font) {
  return ({ ctx }, values) => {
    if (!values) return 40;
    ctx.font = font;
    const widest = Math.max(...values.map((value) => ctx.measureText(String(value)).width));
    return Math.ceil(widest / (ctx.font.startsWith("11px") ? 1 : devicePixelRatio)) + 12;
  };
}

/** "light" or "dark", as the page is shown now. */
function useScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [scheme, setScheme] = useState(dark.matches);
  useEffect(() => {
    const change = () => setScheme(dark.matches);
    dark.addEventListener("change", change);
    return () => dark.removeEventListener("change", change);
  }, []);
  return scheme ? "dark" : "light";
}
