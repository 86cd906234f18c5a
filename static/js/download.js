// Files of the server, saved under the names that it gives them.

import { Refusal } from "../client/refusal.js";
import { api } from "./api.js";

const DAY_MS = 24 * 60 * 60 * 1000;

const day = (date) => date.toISOString().slice(0, 10);

/** From the first of these days to the end of the last, in UTC; without any: the month so far. */
export function span(from, to) {
  const today = new Date();
  const start = from || day(new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 1)));
  const end = new Date(Date.parse(to || day(today)) + DAY_MS);
  return { start: `${start}T00:00:00Z`, end: `${day(end)}T00:00:00Z` };
}

/** Fetched with the person's token, which an address alone would not carry. */
export async function download(path, fields) {
  const token = await api.token();
  let response;
  let blob;
  try {
    response = await fetch(`${path}?${new URLSearchParams(fields)}`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    if (response.ok) blob = await response.blob();
  } catch {
    throw new Refusal({ code: "unavailable", message: "The file did not arrive as a whole: try again." });
  }
  if (!blob) {
    const data = await response.json().catch(() => ({}));
    const message = data.title ?? `The server answered ${response.status}.`;
    throw new Refusal({ code: data.code ?? "unavailable", message, details: data.details });
  }
  save(blob, /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition"))?.[1] ?? "file");
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
