// The one way to the server: sign-in over HTTP, one connection for all namespaces, commands.

import { Manager } from "/static/vendor/socket.io.esm.min.js";
import { Problem } from "./problem.js";

const KEY = "jobsphere.session";
const DEVICE = "jobsphere.device"; // proves at the next sign-in that this browser is known
const ANSWER_MS = 15_000;
const ATTEMPTS = 4;
const EARLY_MS = 60_000; // how long before its end an access token is renewed
const LEAST_MS = 10_000;
const ENDED = new Set(["unauthenticated", "forbidden", "invalid"]);

const tabs = new BroadcastChannel(KEY); // a duplicated tab has the same session

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** A name that nobody else uses. */
export function unique() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function post(path, body, token) {
  return request("POST", path, token, body);
}

/** The body is JSON, or a form with a file in it. */
async function request(method, path, token, body) {
  const file = body instanceof FormData;
  const headers = file || !body ? {} : { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    const content = file ? { body } : { body: body && JSON.stringify(body), keepalive: true };
    // kept alive: it arrives although the page is left
    response = await fetch(path, { method, headers, ...content });
  } catch {
    throw new Problem({ code: "unavailable", message: "The server cannot be reached." });
  }
  const data = await response.json().catch(() => ({}));
  if (response.ok) return data;
  const message = data.title ?? `The server answered ${response.status}.`;
  throw new Problem({ code: data.code ?? "unavailable", message, details: data.details });
}

const idOf = (session) => session?.refresh_token.split(".", 1)[0];

class Api {
  session = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  onPush = () => {}; // (namespace, name, envelope)
  onLive = () => {}; // (whether every namespace is connected), at each change of a connection
  onEnd = () => {}; // (why the session is over, or null)
  #sockets = new Map();
  #renewing = null;
  #timer = 0;

  constructor() {
    // Two tabs that renew at the same time get the same pair; the others get it here.
    tabs.onmessage = ({ data: pair }) => {
      if (idOf(pair) !== idOf(this.session)) return;
      this.#keep({ ...this.session, ...pair });
      this.#schedule();
    };
  }

  /** `verification` is the code or the token of a mail. */
  async login(email, password, verification) {
    const device_token = localStorage.getItem(DEVICE) ?? undefined;
    const fields = { email, password, device_token, verification };
    this.#signedIn(await post("/api/account/login", fields));
  }

  /** The second step of a sign-in whose `challenge` came with `second_factor_required`. */
  async loginCode(challenge, code) {
    this.#keep(await post("/api/account/login/code", { challenge, code }));
  }

  /** `passkey` is what a passkey has signed; `challenge` is of the sign-in that it completes. */
  async loginPasskey(passkey, challenge) {
    const completes = challenge ? { challenge } : {};
    this.#keep(await post("/api/account/passkey_login", { passkey, ...completes }));
  }

  /** Make a session that could only set up a second factor a full one. */
  async lift() {
    await this.#renew();
    this.#keep({ ...this.session, second_factor_setup_required: false });
  }

  /** False when the address must be confirmed before the first sign-in. */
  async register(fields) {
    const answer = await post("/api/account/register", fields);
    if (answer.verification_required) return false;
    this.#signedIn(answer);
    return true;
  }

  async signOut() {
    const token = this.session?.access_token;
    this.#forget(null);
    await post("/api/account/logout", {}, token).catch(() => {});
  }

  /** Connect the namespaces over one connection; each asks for a fresh token when it connects. */
  connect(namespaces) {
    const manager = new Manager(location.origin, {
      transports: ["websocket", "polling"], tryAllTransports: true,
    });
    const auth = async (give) => {
      await this.#fresh().catch(() => {}); // the old token is then refused, and asked for again
      give({ token: this.session?.access_token });
    };
    for (const namespace of namespaces) {
      const socket = manager.socket(namespace, { auth });
      this.#sockets.set(namespace, socket);
      this.#follow(namespace, socket);
    }
    this.#schedule();
  }

  /**
   * Run a command; returns its data or throws a Problem. Asked again after a lost connection, under
   * the same request id, so that nothing is done twice.
   */
  async command(namespace, name, fields = {}) {
    const options = { request_id: unique() };
    for (let attempt = 1; ; attempt += 1) {
      const socket = this.#sockets.get(namespace);
      if (!socket) throw new Problem({ code: "unauthenticated", message: "Sign in first." });
      const answer = await this.#ask(socket, name, fields, options);
      if (answer?.ok) return answer.data;
      const again = !answer || answer.error.code === "request_in_progress";
      if (!again || attempt === ATTEMPTS) {
        throw new Problem(
          answer?.error ?? { code: "unavailable", message: "The server did not answer in time." },
        );
      }
      await pause(200 * attempt);
    }
  }

  /** The acknowledgement, or null when the connection was lost meanwhile. */
  async #ask(socket, name, fields, options) {
    try {
      return await socket.timeout(ANSWER_MS).emitWithAck(name, fields, options);
    } catch {
      return null;
    }
  }

  /** What is asked without being signed in. */
  ask(path, body) {
    return post(path, body);
  }

  /** What is reached over HTTP alone. */
  async post(path, body) {
    return post(path, body, await this.token());
  }

  async get(path) {
    return request("GET", path, await this.token());
  }

  async delete(path) {
    return request("DELETE", path, await this.token(), {});
  }

  /** A token that is good for a request over HTTP. */
  async token() {
    await this.#fresh();
    return this.session.access_token;
  }

  #follow(namespace, socket) {
    const tell = () => this.onLive([...this.#sockets.values()].every((each) => each.connected));
    socket.on("connect", tell);
    socket.on("disconnect", (reason) => {
      tell();
      // The server ends a socket when its token has: a new token is asked for on the way back.
      if (reason === "io server disconnect") this.#reconnect(namespace);
    });
    socket.on("connect_error", (error) => {
      const code = error.data?.code;
      if (ENDED.has(code)) this.#forget("Your session has ended. Please sign in again.");
      else if (code) {
        const wait = error.data.details?.retry_after ?? 0;
        this.#reconnect(namespace, code === "token_expired", wait);
      }
    });
    socket.onAny((name, envelope) => {
      if (name === "session.revoked" && envelope.data.reason === "revoked") {
        this.#forget("You were signed out on another device.");
      } else {
        this.onPush(namespace, name, envelope);
      }
    });
  }

  async #reconnect(namespace, renew = false, seconds = 0) {
    const socket = this.#sockets.get(namespace);
    await pause(1000 * seconds + 500 + Math.random() * 1000);
    if (renew) await this.#renew().catch(() => {});
    if (this.#sockets.get(namespace) === socket && !socket.connected) socket.connect();
  }

  async #fresh() {
    const left = Date.parse(this.session.expires_at) - Date.now();
    if (left < LEAST_MS) await this.#renew();
  }

  #renew() {
    this.#renewing ??= this.#exchange().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #exchange() {
    const { refresh_token } = this.session;
    try {
      const pair = await post("/api/account/refresh", { refresh_token });
      tabs.postMessage(pair);
      if (this.session) this.#keep({ ...this.session, ...pair });
    } catch (problem) {
      if (ENDED.has(problem.code)) {
        this.#forget("Your session has ended. Please sign in again.");
      } else {
        this.#schedule(EARLY_MS / 4);
      }
      throw problem;
    }
    this.#schedule();
  }

  #schedule(wait = Date.parse(this.session?.expires_at) - Date.now() - EARLY_MS) {
    clearTimeout(this.#timer);
    if (!this.session) return;
    this.#timer = setTimeout(() => this.#renew().catch(() => {}), Math.max(wait, LEAST_MS));
  }

  #signedIn({ device_token, ...session }) {
    localStorage.setItem(DEVICE, device_token);
    this.#keep(session);
  }

  /** The browser's storage has what a reload needs, and nothing personal: `me` tells the rest. */
  #keep(session) {
    this.session = session;
    const { email, name, headline, bio, ...user } = session.user;
    sessionStorage.setItem(KEY, JSON.stringify({ ...session, user }));
  }

  #forget(reason) {
    if (!this.session) return;
    this.session = null;
    sessionStorage.removeItem(KEY);
    clearTimeout(this.#timer);
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    for (const socket of sockets) socket.disconnect();
    this.onEnd(reason);
  }
}

export const api = new Api();
