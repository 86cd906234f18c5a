// Requests over HTTP. A refusal is thrown as it is; `null` is for no answer at all.

import { Refusal } from "./refusal.js";

const PLACE = /\{(\w+)\}/g; // of a field in a path
export const ANSWER_MS = 30_000;
const FILE_NAME = /filename="([^"]+)"/;

/** The path with its fields in place, and the other fields. */
function filled(path, fields) {
  const rest = { ...fields };
  const place = (_, name) => {
    delete rest[name];
    return encodeURIComponent(fields[name]);
  };
  return [path.replace(PLACE, place), rest];
}

/** A list repeats its key, an object is JSON; what is not given is left out. */
function query(fields) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (Array.isArray(value)) value.forEach((item) => given.append(name, item));
    else if (value instanceof Date) given.set(name, value.toISOString());
    else if (value !== undefined && value !== null) {
      given.set(name, typeof value === "object" ? JSON.stringify(value) : value);
    }
  }
  return given.size ? `?${given}` : "";
}

export class Http {
  constructor(origin) {
    this.origin = origin;
  }

  /**
   * The response to `route` (such as "GET /api/job/{job_id}"), or null if none came. Throws a
   * Refusal. The `form` is sent as it is; in other requests the fields are JSON or the query.
   * `within` is how many milliseconds an answer may take.
   */
  async send(route, fields = {}, options = {}) {
    const { token, requestId, form: body, headers: more, within = ANSWER_MS } = options;
    const [method, pattern] = route.split(" ");
    const [path, rest] = filled(pattern, fields);
    const headers = new Headers(more);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    if (requestId) headers.set("Idempotency-Key", requestId);
    const asked = { method, headers, body };
    if (within < Infinity) asked.signal = AbortSignal.timeout(within);
    if (!body && method !== "GET") {
      headers.set("Content-Type", "application/json");
      asked.body = JSON.stringify(rest);
      asked.keepalive = asked.body.length < 60_000; // it arrives although the page is left
    }
    const search = method === "GET" ? query(rest) : "";
    const response = await fetch(this.origin + path + search, asked).catch(() => null);
    if (!response || response.ok || response.status === 304) return response;
    const problem = await response.json().catch(() => ({}));
    throw new Refusal({
      code: problem.code ?? "unavailable",
      message: problem.title ?? `The server answered ${response.status}.`,
      details: problem.details,
    });
  }
}

/** A file that was answered, under the name that the server gives it. */
export async function saved(response) {
  const disposition = response.headers.get("Content-Disposition") ?? "";
  return { name: FILE_NAME.exec(disposition)?.[1] ?? "file", blob: await response.blob() };
}

/** A form with one file. */
export function form(file, name = file.name ?? "file") {
  const body = new FormData();
  body.append("file", file, name);
  return body;
}
