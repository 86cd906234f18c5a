// Commands: in order, repeated safely after a lost connection, and bounded while they wait.

import { ANSWER_MS as HTTP_ANSWER_MS, form, saved } from "./http.js";
import { Refusal, unanswered } from "./refusal.js";
import { backoff, pause, unique, within } from "./waiting.js";

const ANSWER_MS = 15_000; // then a command is repeated
const TOO_LATE = "The server did not answer in time.";
const SIGNED_OUT = new Set(["unauthenticated", "token_expired"]);
const AGAIN = new Set(["request_in_progress", "unavailable"]);
const RENEWALS = 3; // of the tokens, for one command
const MOMENTARY = new Set(["typing"]); // of no use when the connection is back
const CLIENT_ID = 64; // characters at most

export class Commands {
  #last = new Map(); // namespace -> when the last command that writes is done
  #waiting = 0;
  #stop = { problem: null }; // one object for all commands that wait now

  /** At most `queueLimit` commands wait at a time, each for `patience` ms unless it says more. */
  constructor(http, session, connection, { queueLimit = 100, patience = 60_000 } = {}) {
    this.http = http;
    this.session = session;
    this.connection = connection;
    this.queueLimit = queueLimit;
    this.patience = patience;
  }

  /**
   * Run a command of the contract; returns its data or throws a Refusal. Commands that write wait
   * for the earlier ones of their namespace, so that they are carried out in the order of the
   * calls, whatever happens to the connection. The client's `own` commands are not limited.
   */
  async run(command, fields = {}, options = {}) {
    if (this.#waiting >= this.queueLimit && !options.own) {
      const message = "Too many commands wait for the server.";
      throw new Refusal({ code: "too_many", message, details: { limit: this.queueLimit } });
    }
    const { requestId = unique(), patience = this.patience } = options;
    const until = Date.now() + patience;
    const call = { command, fields, options, requestId, until, sent: false, stop: this.#stop };
    if (command.clientId && requestId.length <= CLIENT_ID) {
      call.fields = { client_id: requestId, ...fields };
    }
    const counts = options.own ? 0 : 1;
    this.#waiting += counts;
    try {
      return await (command.repeat === "request_id" ? this.#inTurn(call) : this.#repeat(call));
    } finally {
      this.#waiting -= counts;
    }
  }

  /** Let all commands that wait fail with this Refusal. */
  stop(problem) {
    this.#stop.problem = problem;
    this.#stop = { problem: null };
  }

  /** A call that loses its patience gives its place up; those behind it wait for those before. */
  #inTurn(call) {
    const { namespace } = call.command;
    const before = this.#last.get(namespace) ?? Promise.resolve();
    const running = within(before, call.until - Date.now()).then(() => this.#repeat(call));
    // Without the answers, which would be kept along the chain.
    this.#last.set(namespace, Promise.allSettled([before, running]).then(() => {}));
    return running;
  }

  async #repeat(call) {
    for (let attempt = 1; ; attempt += 1) {
      this.#mayGoOn(call);
      try {
        return await this.#ask(call);
      } catch (refused) {
        const wait = this.#waitFor(call, refused, attempt);
        if (wait === null || Date.now() + wait > call.until) {
          throw refused.details?.sent === false ? refused.of(call.sent) : refused;
        }
        if (!call.stop.problem) await pause(wait);
      }
    }
  }

  /** Throws a Refusal when the call is to be given up. */
  #mayGoOn({ stop, until, sent }) {
    if (stop.problem) throw stop.problem.of(sent);
    if (until <= Date.now()) throw unanswered(TOO_LATE, sent);
  }

  /** The milliseconds until the call is repeated, or null if it is not. */
  #waitFor({ command, sent }, { code, details }, attempt) {
    const again = details?.retry_after;
    if (code === "rate_limited") return again ? 1_000 * again : backoff(attempt);
    if (SIGNED_OUT.has(code)) {
      const mayReturn = command.signedIn && this.session.current && attempt <= RENEWALS;
      return mayReturn ? backoff(attempt) : null;
    }
    if (!AGAIN.has(code) || (sent && command.repeat === "no")) return null;
    return again ? 1_000 * again : backoff(attempt);
  }

  /** Throws a Refusal. */
  #ask(call) {
    const { command, options } = call;
    const socket = command.event && options.via !== "http" && this.connection.open
      && this.connection.has(command.namespace);
    return socket ? this.#askSocket(call) : this.#askHttp(call);
  }

  async #askSocket(call) {
    const { command, fields, requestId } = call;
    if (MOMENTARY.has(command.event) && !this.connection.connected(command.namespace)) {
      throw new Refusal({ code: "conflict", message: "This is of no use later." });
    }
    const socket = await this.connection.ready(command.namespace, call.until - Date.now());
    call.sent = true;
    let answer;
    try {
      const asking = socket.timeout(Math.min(ANSWER_MS, call.until - Date.now()));
      answer = await asking.emitWithAck(command.event, fields, { request_id: requestId });
    } catch {
      throw unanswered(TOO_LATE, true);
    }
    if (answer.ok) return answer.data;
    throw new Refusal(answer.error);
  }

  async #askHttp(call) {
    const { command, fields, requestId } = call;
    if (!command.http) throw new Refusal({ code: "conflict", message: "Connect first." });
    const left = call.until - Date.now();
    const token = command.signedIn ? await within(this.session.token(), left) : undefined;
    this.#mayGoOn(call); // the token may be another user's, who signed in meanwhile
    const sent = { token, requestId, within: Math.min(HTTP_ANSWER_MS, call.until - Date.now()) };
    if (command.upload) sent.form = form(fields.file, fields.name);
    if (command.upload || command.download) sent.within = Infinity;
    call.sent = true;
    try {
      const response = await this.http.send(command.http, fields, sent);
      if (!response) throw unanswered("The server cannot be reached.", true);
      return await (command.download ? saved(response) : response.json());
    } catch (error) {
      if (command.signedIn && SIGNED_OUT.has(error.code)) await this.session.renew();
      throw error instanceof Refusal ? error : unanswered("The answer broke off.", true);
    }
  }
}
