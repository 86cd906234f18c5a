// The one way to the server: the client of `static/client`, with what the pages need of it.

import { JobSphere } from "../client/jobsphere.js";
import { unanswered } from "../client/refusal.js";

const PATIENCE_MS = 60_000;

class Api {
  onPush = () => {}; // (namespace, name, {seq, at, data}), in order and once
  onLive = () => {}; // (whether every namespace is connected), at each change of a connection
  onReload = () => {}; // pushes are missing for good: the lists must be read again
  onEnd = () => {}; // (why the session is over, or null)
  #client = new JobSphere({ patience: PATIENCE_MS });

  constructor() {
    const client = this.#client;
    client.on("push", ({ namespace, name, ...envelope }) => this.onPush(namespace, name, envelope));
    client.on("live", (live) => this.onLive(live));
    client.on("reload", () => this.onReload());
    client.on("end", (reason) => this.onEnd(reason));
  }

  get session() {
    return this.#client.session.current;
  }

  /** `verification` is the code or the token of a mail. */
  async login(email, password, verification) {
    await this.#client.account.login({ email, password, verification });
  }

  /** The second step of a sign-in whose `challenge` came with `second_factor_required`. */
  async loginCode(challenge, code) {
    await this.#client.account.login_code({ challenge, code });
  }

  /** `passkey` is what a passkey has signed; `challenge` is of the sign-in that it completes. */
  async loginPasskey(passkey, challenge) {
    await this.#client.account.passkey_login({ passkey, challenge });
  }

  /** Make a session that could only set up a second factor a full one. */
  async lift() {
    await this.#client.session.renew();
    this.#client.adopt({ second_factor_setup_required: false });
  }

  /** False when the address must be confirmed before the first sign-in. */
  async register(fields) {
    return !(await this.#client.account.register(fields)).verification_required;
  }

  async signOut() {
    await this.#client.account.logout().catch(() => {}); // it is over here all the same
  }

  /** Connect the namespaces over one connection. */
  connect(namespaces) {
    this.#client.connect({ namespaces, patience: Infinity }).catch(() => {}); // `onEnd` tells why
  }

  /** Apply what was missed. */
  catchUp() {
    return this.#client.feed.catchUp();
  }

  /** Run a command; returns its data or throws a Refusal. Nothing is done twice. */
  command(namespace, name, fields = {}) {
    return this.#client.command(namespace, name, fields);
  }

  /** Keep a file; returns its record. */
  upload(file) {
    return this.#client.files.upload({ file });
  }

  /** What is asked without being signed in. */
  ask(path, body) {
    return this.#send(`POST ${path}`, body);
  }

  /** What is reached over HTTP alone. */
  async post(path, body) {
    return this.#send(`POST ${path}`, body, await this.token());
  }

  async get(path) {
    return this.#send(`GET ${path}`, {}, await this.token());
  }

  async delete(path) {
    return this.#send(`DELETE ${path}`, {}, await this.token());
  }

  /** A token that is good for a request over HTTP. */
  token() {
    return this.#client.session.token();
  }

  async #send(route, fields, token) {
    const response = await this.#client.http.send(route, fields, { token });
    if (!response) throw unanswered("The server cannot be reached.", true);
    return response.json();
  }
}

export const api = new Api();
