// The session: kept in a Web Storage, renewed before it expires, shared by the tabs that have it.

import { Refusal, unanswered } from "./refusal.js";
import { LONGEST_TIMER_MS, backoff, pause } from "./waiting.js";

export const REFRESH = "POST /api/account/refresh";
const KEY = "jobsphere.session";
const DEVICE = "jobsphere.device"; // proves at the next sign-in that this browser is known
const EARLY_MS = 60_000; // how long before its end an access token is renewed
const LEAST_MS = 10_000;
const AGAIN_MS = 15_000;
const REPEATED_MS = 25_000; // the server repeats its answer for 30 s, then it ends the session
const ANSWER_MS = 5_000;
const TOLD_MS = 300; // how long another tab may take to tell its tokens
const SKEW_MS = 30_000; // less is the way of the answer
const ENDED = new Set(["unauthenticated", "forbidden", "invalid", "banned"]);
const OVER = "Your session has ended. Please sign in again.";

const inBrowser = typeof document !== "undefined";

/** Both tokens of a session begin with what stays the same when they are renewed. */
const idOf = (tokens) => tokens?.refresh_token.split(".", 1)[0];

/** What a person is told when a renewal is refused, or another reason without a ban. */
const whyOver = (refused, other) => (refused?.details?.banned ? refused.message : other);

const left = ({ expires_at, skew = 0 }) => Date.parse(expires_at) - Date.now() - skew;

const isLater = (one, other) => Date.parse(one.expires_at) > Date.parse(other.expires_at);

/** The server's clock minus ours: a token that came just now tells when it was made. */
function skewOf(token) {
  try {
    const facts = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const skew = 1_000 * JSON.parse(atob(facts)).iat - Date.now();
    return Math.abs(skew) > SKEW_MS ? skew : 0;
  } catch {
    return 0;
  }
}

export class Session {
  #kept = null;
  #renewing = null;
  #timer = 0;
  #channel = null;
  #revoked = null; // the id of the session of which the server is asked why it is over
  #asked = 0; // when the other tabs were asked whether they have newer tokens

  /**
   * `storage` and `devices` are Web Storages, or null to keep nothing beyond this object. `ended`
   * is called with the reason when the session is over.
   */
  constructor(http, { storage, devices, ended }) {
    this.http = http;
    this.storage = storage === undefined && inBrowser ? sessionStorage : storage;
    this.devices = devices === undefined && inBrowser ? localStorage : devices;
    this.ended = ended;
    this.#kept = this.#stored();
    this.open();
  }

  /** Renew the session in time, if there is one, and share it with the other tabs. */
  open() {
    if (!this.#kept) return;
    this.#share();
    this.#schedule();
  }

  /** What the sign-in answered, with the present tokens; null when nobody is signed in. */
  get current() {
    return this.#kept;
  }

  get deviceToken() {
    return this.devices?.getItem(DEVICE) ?? undefined;
  }

  /** Take over what a sign-in has answered just now, or a new pair of tokens. */
  answered(answer) {
    this.adopt({ ...answer, skew: skewOf(answer.access_token) });
  }

  /** Take over a session, or a part of it. Another one than there was ends that one here. */
  adopt({ device_token, ...answered }) {
    if (this.#kept && answered.refresh_token && !this.#has(answered)) this.#forget();
    if (device_token) this.devices?.setItem(DEVICE, device_token);
    const goesOn = this.#kept !== null;
    this.#keep({ ...(answered.user ? {} : this.#kept), ...answered }, goesOn);
    this.open();
  }

  /**
   * An access token that is still good for a while. While the server cannot renew it, it accepts
   * an expired one. Throws a Refusal.
   */
  async token() {
    if (!this.#kept) throw new Refusal({ code: "unauthenticated", message: "Sign in first." });
    if (left(this.#kept) < LEAST_MS) {
      await this.renew().catch((refused) => {
        if (refused.code !== "unavailable") throw refused;
      });
    }
    return this.#kept?.access_token;
  }

  /** Exchange the tokens for new ones; several calls at a time are one. Throws a Refusal. */
  renew() {
    if (this.#renewing) return this.#renewing;
    const renewing = this.#renewOnce().finally(() => {
      if (this.#renewing === renewing) this.#renewing = null;
    });
    this.#renewing = renewing;
    return renewing;
  }

  /** Forget the session, in all tabs that have it. */
  end(reason = null) {
    if (!this.#kept) return;
    this.#channel?.postMessage({ id: idOf(this.#kept), reason });
    this.#forget(reason);
  }

  /**
   * The server says that the session is over. It is asked once for the reason, as the account may
   * be banned; `reason` is given for all others, and when no answer comes.
   */
  async revoked(reason) {
    const id = idOf(this.#kept);
    if (!this.#kept || this.#revoked === id) return;
    this.#revoked = id;
    const ask = async () => {
      const refresh_token = this.#latest();
      if (idOf(this.#kept) !== id) return; // another tab has asked
      await this.http.send(REFRESH, { refresh_token }, { within: ANSWER_MS });
    };
    const refused = await this.#alone(ask).then(() => null, (error) => error);
    if (idOf(this.#kept) === id) this.end(whyOver(refused, reason));
  }

  /** Stop renewing; the session stays where it is kept. */
  close() {
    clearTimeout(this.#timer);
    this.#channel?.close();
    this.#channel = null;
  }

  /** One tab at a time asks; those that waited find the tokens renewed. */
  async #renewOnce() {
    if (!this.#kept) throw new Refusal({ code: "unauthenticated", message: "Sign in first." });
    const before = this.#kept.refresh_token;
    const ask = async () => {
      await pause(this.#asked + TOLD_MS - Date.now());
      return this.#latest() === before ? this.#exchange(before) : undefined;
    };
    await this.#alone(ask);
    if (!this.#kept) throw new Refusal({ code: "unauthenticated", message: OVER });
  }

  /** Run while no other tab does, or after a while all the same: a sleeping tab keeps its lock. */
  async #alone(ask) {
    const locks = globalThis.navigator?.locks;
    if (!locks) return ask();
    const waiting = { signal: AbortSignal.timeout(ANSWER_MS) };
    try {
      return await locks.request(`${KEY}.${idOf(this.#kept)}`, waiting, ask);
    } catch (error) {
      if (error.name !== "TimeoutError") throw error;
      return ask();
    }
  }

  #stored() {
    return JSON.parse(this.storage?.getItem(KEY) ?? "null");
  }

  /** Whether these tokens are of the session of this object, now or before they were renewed. */
  #has(tokens) {
    return this.#kept !== null && idOf(tokens) === idOf(this.#kept);
  }

  /** The present refresh token, which another tab may have renewed in a storage of both. */
  #latest() {
    const stored = this.#stored();
    if (this.#has(stored) && left(stored) >= left(this.#kept)) {
      this.#kept = stored;
      this.#schedule();
    }
    return this.#kept?.refresh_token;
  }

  /** Another user may have signed in meanwhile, whose session has nothing to do with this. */
  async #exchange(refresh_token) {
    try {
      await this.#ask(refresh_token);
      if (!this.#has({ refresh_token })) return;
      this.#tell();
    } catch (refused) {
      if (!this.#has({ refresh_token })) throw refused;
      if (ENDED.has(refused.code)) this.end(whyOver(refused, OVER));
      else this.#schedule(AGAIN_MS);
      throw refused;
    }
  }

  async #ask(refresh_token) {
    const until = Date.now() + REPEATED_MS;
    for (let attempt = 1; this.#kept?.refresh_token === refresh_token; attempt += 1) {
      const asked = { within: ANSWER_MS };
      const response = await this.http.send(REFRESH, { refresh_token }, asked);
      const pair = await response?.json().catch(() => null);
      if (pair && this.#has(pair)) return this.answered(pair);
      if (Date.now() > until) throw unanswered("The server cannot be reached.", true);
      await pause(backoff(attempt));
    }
  }

  /**
   * A duplicated tab has the same session, and so have all tabs with a common storage. While this
   * one was closed or discarded, another may have renewed the tokens: using the old ones would end
   * the session for all.
   */
  #share() {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(KEY);
    this.#channel.unref?.();
    this.#channel.onmessage = ({ data: { id, pair, asks, reason } }) => {
      if (id !== idOf(this.#kept)) return;
      if (asks) this.#tell(asks);
      else if (!pair) this.#forget(reason);
      else if (!isLater(this.#kept, pair)) this.adopt(pair);
    };
    this.#channel.postMessage({ id: idOf(this.#kept), asks: this.#kept.expires_at });
    this.#asked = Date.now();
  }

  /** Give the other tabs these tokens, or only if theirs expire earlier than these. */
  #tell(expires_at = null) {
    const { user, ...pair } = this.#kept;
    if (expires_at && !isLater(pair, { expires_at })) return;
    this.#channel?.postMessage({ id: idOf(pair), pair });
  }

  #schedule(wait = left(this.#kept) - EARLY_MS) {
    clearTimeout(this.#timer);
    if (!this.#kept) return;
    const due = Math.min(Math.max(wait, LEAST_MS), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.renew().catch(() => {}), due);
    this.#timer.unref?.(); // a connection keeps a program running, a session does not
  }

  /**
   * The storage has what a reload needs, and nothing personal: `account.me` tells the rest. A
   * session that `goesOn` does not take the place of one that another tab has put there.
   */
  #keep(session, goesOn) {
    this.#kept = session;
    if (goesOn && !this.#has(this.#stored())) return;
    const { email, name, headline, bio, ...user } = session.user ?? {};
    this.storage?.setItem(KEY, JSON.stringify({ ...session, user }));
  }

  #forget(reason = null) {
    if (this.#has(this.#stored())) this.storage?.removeItem(KEY);
    this.#kept = null;
    this.#renewing = null;
    this.#revoked = null;
    this.close();
    this.ended(reason);
  }
}
