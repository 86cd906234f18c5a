// The JobSphere client: sign-in, typed commands, and everything that happens, in order and once.
//
// `contract.js` lists the commands, made from the server's documents. README.md shows the way in.

import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { NAMESPACES } from "./contract.js";
import { Conversations } from "./conversations.js";
import { Feed } from "./feed.js";
import { Http } from "./http.js";
import { Listeners } from "./listeners.js";
import { Refusal, unanswered } from "./refusal.js";
import { REFRESH, Session } from "./session.js";
import { Subscriptions } from "./subscriptions.js";
import { LONGEST_TIMER_MS, within } from "./waiting.js";

export { VERSION } from "./contract.js";
export { Refusal };

const OWN = { patience: Infinity, own: true };
const SIGN_IN = new Set(["register", "login", "login_code", "passkey_login", "refresh"]);

/** The content of a response. Throws a Refusal if none came. */
function answered(response) {
  if (!response) throw unanswered("The server cannot be reached.", true);
  return response.json();
}

export class JobSphere {
  #listeners = new Listeners();
  #subscriptions;
  #meta = null;
  #waiting = new Set(); // what rejects each `next` that waits

  /**
   * `url` is the server's origin. `storage` and `devices` are Web Storages for the session and for
   * the proof that this device is known. `since` is the number of the last push that an earlier
   * client has handled. Commands wait for `patience` ms, at most `queueLimit` of them. `transports`
   * are those of Socket.IO, in the order in which they are tried.
   */
  constructor({ url, storage, devices, since, patience, queueLimit, transports } = {}) {
    this.http = new Http(new URL(url ?? location.href).origin);
    this.session = new Session(this.http, {
      storage, devices, ended: (reason) => this.#ended(reason),
    });
    this.connection = new Connection(this.http.origin, this.session, {
      pushed: (...push) => this.#pushed(...push),
      turned: (live) => this.#turned(live),
      transports,
    });
    this.commands = new Commands(this.http, this.session, this.connection, {
      patience, queueLimit,
    });
    this.#begin(since);
    for (const [name, { path, commands }] of Object.entries(NAMESPACES)) {
      this[name] = this.#namespace(path, commands);
    }
  }

  /** Who is signed in: what the sign-in answered, or null. */
  get user() {
    return this.session.current?.user ?? null;
  }

  /** Whether all namespaces are connected. */
  get live() {
    return this.connection.live;
  }

  /** The number of the last push that was delivered; give it to the next client as `since`. */
  get seq() {
    return this.feed.seq;
  }

  /** `live`, `reload`, `end`, or `push` for every push. Returns a function that stops it. */
  on(name, listener) {
    return this.#listeners.on(name, listener);
  }

  /** Run a command by its names, such as "/job" and "create". */
  async command(namespace, name, fields, options) {
    const [own] = Object.entries(NAMESPACES).find(([, { path }]) => path === namespace) ?? [];
    const command = this[own]?.[name];
    if (command && NAMESPACES[own].commands[name]) return command(fields, options);
    const message = `There is no command ${name} of ${namespace}.`;
    throw new Refusal({ code: "unknown_command", message });
  }

  /**
   * Connect, and stay connected until `close()`. Resolves when everything is live, and of what
   * happens from then on nothing is missed.
   */
  async connect({ namespaces = this.#usual(), patience = this.commands.patience } = {}) {
    if (!this.session.current) {
      throw new Refusal({ code: "unauthenticated", message: "Sign in first." });
    }
    this.session.open();
    if (!this.connection.open) this.connection.connect(namespaces);
    const until = Date.now() + patience;
    await this.connection.whenLive(patience);
    const begun = Promise.all(this.#followed().map((each) => each.begun()));
    const inTime = await within(begun, until - Date.now());
    if (!inTime) throw unanswered("The server did not answer in time.", false);
  }

  /** Take over a session whose tokens came from elsewhere. */
  adopt(session) {
    this.session.adopt(session);
  }

  /** Disconnect; commands that wait fail. The session stays where it is kept. */
  close() {
    this.#stop(unanswered("The client was closed.", false));
    this.session.close();
  }

  /** What this server enforces, which anyone may read. */
  async meta() {
    const known = this.#meta && { "If-None-Match": this.#meta.tag };
    const response = await this.http.send("GET /api/meta", {}, { headers: known ?? {} });
    if (!response) throw unanswered("The server cannot be reached.", false);
    if (response.status !== 304) {
      this.#meta = { tag: response.headers.get("ETag"), data: await response.json() };
    }
    return this.#meta.data;
  }

  /** The address of a file for an `<img>`, good for a minute. */
  async fileUrl(file_id, { size } = {}) {
    const { ticket } = await this.files.ticket({ file_id });
    const asked = new URLSearchParams({ ticket, ...(size && { size }) });
    return `${this.http.origin}/api/files/${file_id}?${asked}`;
  }

  /** What belongs to the user who is signed in. */
  #begin(since) {
    this.#subscriptions = new Subscriptions();
    this.feed = new Feed({
      since,
      sync: (from, limit) => this.account.sync({ since: from, limit }, OWN),
      deliver: (...push) => this.#deliver(...push),
      tooOld: (details) => this.#listeners.tell("reload", details),
    });
    this.conversations = new Conversations(
      (name, fields) => this.chat[name](fields, OWN),
      (data) => this.#deliver("/chat", "message", { seq: data.seq, at: data.updated_at, data }),
    );
  }

  #usual() {
    const all = Object.values(NAMESPACES).filter(({ commands }) =>
      Object.values(commands).some(({ event }) => event));
    const paths = all.map(({ path }) => path);
    return paths.filter((path) => path !== "/admin" || this.user?.role === "admin");
  }

  #namespace(path, commands) {
    const on = (name, listener) => this.#listeners.on(`${path} ${name}`, listener);
    const namespace = {
      on,
      next: (name, fits = () => true, { patience = this.commands.patience } = {}) =>
        this.#next((take) => on(name, take), fits, patience, `No such ${name} came.`),
    };
    for (const [name, entry] of Object.entries(commands)) {
      const command = { ...entry, name, namespace: path };
      namespace[name] = (fields, options) => this.#run(command, fields, options);
    }
    return namespace;
  }

  /** The data of the next push that fits. Rejected at the end of the session or of patience. */
  #next(listen, fits, patience, late) {
    const waited = new Promise((found, failed) => {
      const settle = (done, value) => {
        clearTimeout(timer);
        this.#waiting.delete(fail);
        stop();
        done(value);
      };
      const fail = (problem) => settle(failed, problem);
      const stop = listen((data, push) => {
        try {
          if (fits(data, push)) settle(found, data);
        } catch (error) {
          fail(error);
        }
      });
      const lateness = () => fail(unanswered(late, false));
      const timer = patience <= LONGEST_TIMER_MS ? setTimeout(lateness, patience) : 0;
      this.#waiting.add(fail);
    });
    waited.catch(() => {}); // a caller that awaits it gets the refusal; without one it is no error
    return waited;
  }

  #stop(problem) {
    this.commands.stop(problem);
    this.connection.close(problem);
    for (const fail of [...this.#waiting]) fail(problem);
  }

  async #run(command, fields = {}, options = {}) {
    const { name, namespace } = command;
    const account = namespace === "/account";
    if (account && name === "logout") return this.#logout(command);
    const device_token = this.session.deviceToken;
    const known = account && name === "login" && device_token ? { device_token } : {};
    const data = await this.commands.run(command, { ...known, ...fields }, options);
    if (account && SIGN_IN.has(name) && data.access_token) this.session.answered(data);
    this.#subscriptions.note(`${namespace.slice(1)}.${name}`, fields);
    return data;
  }

  /** The session is over here at once, whether or not the server can be told. */
  async #logout({ http }) {
    const over = this.session.current;
    if (!over) throw new Refusal({ code: "unauthenticated", message: "Sign in first." });
    this.session.end();
    const tell = async ({ access_token }) =>
      answered(await this.http.send(http, {}, { token: access_token }));
    try {
      return await tell(over);
    } catch (refused) {
      if (refused.code !== "token_expired") throw refused;
      const { refresh_token } = over;
      return tell(await answered(await this.http.send(REFRESH, { refresh_token })));
    }
  }

  #pushed(namespace, name, envelope) {
    const { seq, data } = envelope;
    if (name === "message" && namespace === "/chat") this.conversations.take(data);
    else if (seq !== null) this.feed.take(namespace, name, envelope);
    else {
      if (name === "head") {
        this.feed.head(data.head);
        this.conversations.retry();
      }
      if (name === "resync") this.#catchUp();
      if (name === "session.revoked" && data.reason === "revoked") {
        this.session.revoked("You were signed out on another device.");
      }
      this.#deliver(namespace, name, envelope);
    }
  }

  #deliver(namespace, name, { seq, at, data }) {
    const push = { namespace, name, seq, at, data };
    this.#subscriptions.pushed(name, data);
    this.#listeners.tell(`${namespace} ${name}`, data, push);
    this.#listeners.tell("push", push);
  }

  #turned(live) {
    if (live) {
      this.#catchUp();
      this.#subscriptions.restore(
        (name, fields) => this.#again(name, fields),
        (namespace, name, data) =>
          this.#deliver(namespace, name, { seq: null, at: new Date().toISOString(), data }),
      );
    }
    this.#listeners.tell("live", live);
  }

  #again(name, fields) {
    const [namespace, command] = name.split(".");
    return this[namespace][command](fields, OWN);
  }

  /** If this fails, the session is over, or the next `head` or connection asks again. */
  #catchUp() {
    for (const each of this.#followed()) each.catchUp().catch(() => {});
  }

  #followed() {
    const followed = [["/account", this.feed], ["/chat", this.conversations]];
    const connected = followed.filter(([namespace]) => this.connection.has(namespace));
    return connected.map(([, each]) => each);
  }

  #ended(reason) {
    const over = reason ?? "You have signed out.";
    const problem = new Refusal({
      code: "unauthenticated", message: over, details: { sent: false },
    });
    this.#stop(problem);
    this.#begin();
    this.#listeners.tell("end", reason);
  }
}
