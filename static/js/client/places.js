// Places on the globe: distances, large cities by their names, and where the browser is.
//
// There is no geocoder, and the page asks no other host. The list of cities is loaded when it is
// first needed.

import { signal } from "@preact/signals";
import { Refusal } from "../../client/jobsphere.js";

/** @typedef {{lon: number, lat: number}} Point */
/** @typedef {Point & {name: string, country: string, key: string}} City */

const EARTH_RADIUS_KM = 6378.1; // as on the server, in domain/jobs/geo.py
const SUGGESTED = 8;
const NEAREST_KM = 60; // beyond that a city says little about where something is
const WITHIN_KM = 8; // of a city's middle
const LOCATE_MS = 10_000;
const LIST = new URL("../../vendor/places.txt", import.meta.url);

const regions = new Intl.DisplayNames(undefined, { type: "region" });

/** The largest first; empty until they are loaded. @type {import("@preact/signals").Signal<City[]>} */
const cities = signal([]);
/** @type {Promise<void> | undefined} */
let loading;

export function loadCities() {
  loading ??= fetch(LIST, { priority: "low" })
    .then((response) => (response.ok ? response.text() : ""))
    .then((text) => (cities.value = text.split("\n").filter((line) => line.includes("|")).map(parse)))
    .then(() => nearest.clear())
    .catch(() => (loading = undefined));
  return loading;
}

/** @param {string} line @returns {City} */
function parse(line) {
  const [name, country, lat, lon] = line.split("|");
  return { name, country, lat: Number(lat), lon: Number(lon), key: fold(name) };
}

/** Lower case without accents, as the server compares. @param {string} text */
export function fold(text) {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/gu, "").normalize("NFC").toLowerCase().split(/\s+/u).filter(Boolean).join(" ");
}

/** "Berlin, Germany". @param {City} city */
export function titleOf({ name, country }) {
  return `${name}, ${regions.of(country) ?? country}`;
}

/** Along the surface, by the haversine formula. @param {Point} a @param {Point} b */
export function distanceKm(a, b) {
  const radians = (/** @type {number} */ degrees) => (degrees * Math.PI) / 180;
  const east = radians(b.lon - a.lon);
  const north = radians(b.lat - a.lat);
  const h = Math.sin(north / 2) ** 2
    + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * Math.sin(east / 2) ** 2;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** "less than 1 km", "12 km", "1,200 km". @param {number} km */
export function displayKm(km) {
  return km < 1 ? "less than 1 km" : `${Math.round(km).toLocaleString()} km`;
}

/** "52.52, 13.41". @param {Point} point */
export const displayPoint = ({ lat, lon }) => `${lat.toFixed(2)}, ${lon.toFixed(2)}`;

/** "52.52, 13.41" as a point, or null. @param {string} text @returns {Point | null} */
export function parsePoint(text) {
  const found = /^\s*(-?\d{1,2}(?:\.\d+)?)\s*[,;\s]\s*(-?\d{1,3}(?:\.\d+)?)\s*$/.exec(text);
  if (!found) return null;
  const [lat, lon] = [Number(found[1]), Number(found[2])];
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lon, lat } : null;
}

/** Cities whose names begin like this. @param {string} text */
export function suggest(text) {
  const wanted = fold(text.split(",")[0]);
  if (wanted.length < 2) return [];
  const found = cities.value.filter(({ key }) => key.startsWith(wanted)).slice(0, 40);
  const exact = found.filter((city) => fold(titleOf(city)) === fold(text));
  return (exact.length ? exact : found).slice(0, SUGGESTED);
}

/** @type {Map<string, {title: string, km: number} | null>} */
const nearest = new Map();

/** The nearest city, or null if none is near or they are not loaded. @param {Point} point */
function cityNear(point) {
  const all = cities.value;
  const key = displayPoint(point);
  const known = nearest.get(key);
  if (known !== undefined) return known;
  let [best, least] = [/** @type {City | null} */ (null), NEAREST_KM];
  for (const city of all) {
    if (Math.abs(city.lat - point.lat) > 1) continue;
    const km = distanceKm(city, point);
    if (km < least) [best, least] = [city, km];
  }
  const found = best && { title: titleOf(best), km: least };
  if (all.length) nearest.set(key, found);
  return found;
}

/** "Berlin, Germany", "near Berlin, Germany", or null. @param {Point} point */
export function placeOf(point) {
  const city = cityNear(point);
  return city && `${city.km < WITHIN_KM ? "" : "near "}${city.title}`;
}

/** The city that a point is in, or its coordinates. @param {Point} point */
export function nameOf(point) {
  const city = cityNear(point);
  return city && city.km < WITHIN_KM ? city.title : displayPoint(point);
}

/** Where the browser is, to about 1 km. Throws a Refusal. @returns {Promise<Point>} */
export function locate() {
  const round = (/** @type {number} */ degrees) => Math.round(degrees * 100) / 100;
  return new Promise((found, fail) => {
    const refuse = (/** @type {string} */ message) => fail(new Refusal({ code: "invalid", message }));
    if (!navigator.geolocation) return refuse("This browser does not know where it is.");
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => found({ lon: round(coords.longitude), lat: round(coords.latitude) }),
      ({ code, PERMISSION_DENIED }) => refuse(code === PERMISSION_DENIED
        ? "The browser may not tell where you are. Allow it, or type a place."
        : "Your position could not be found. Type a place instead."),
      { timeout: LOCATE_MS, maximumAge: 600_000 },
    );
  });
}
