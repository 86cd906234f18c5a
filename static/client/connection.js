// One connection for all namespaces, which comes back by itself until it is closed.

import { Manager } from "./socket.js";
import { Refusal, unanswered } from "./refusal.js";
import { LONGEST_TIMER_MS, pause } from "./waiting.js";

const ENDED = new Set(["unauthenticated", "banned"]); // as for the session
const PASSING = new Set(["token_expired", "rate_limited", "unavailable", "internal", "conflict"]);
const AGAIN_MS = 500; // and up to twice as much, after the server has ended a namespace

export class Connection {
  #manager = null;
  #sockets = new Map();
  #waiting = new Set(); // of {namespace, ready, failed}
  #live = false;
  #given = null; // the access token that was sent last

  /**
   * `pushed(namespace, name, envelope)` takes a push, `turned(live)` each change of whether all
   * namespaces are connected.
   */
  constructor(origin, session, { pushed, turned, transports }) {
    this.origin = origin;
    this.transports = transports ?? ["websocket", "polling"];
    this.session = session;
    this.pushed = pushed;
    this.turned = turned;
  }

  get open() {
    return this.#manager !== null;
  }

  get live() {
    return this.#live;
  }

  has(namespace) {
    return this.#sockets.has(namespace);
  }

  connected(namespace) {
    return this.#sockets.get(namespace)?.connected ?? false;
  }

  connect(namespaces) {
    this.#manager = new Manager(this.origin, {
      transports: this.transports,
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 5_000,
    });
    const auth = async (give) => {
      const engine = this.#manager?.engine;
      await this.session.token().catch(() => {}); // the old one is then refused, and asked for again
      if (this.#manager?.engine !== engine) return; // the next connection asks for itself
      this.#given = this.session.current?.access_token;
      give({ token: this.#given });
    };
    for (const namespace of namespaces) {
      const socket = this.#manager.socket(namespace, { auth });
      this.#sockets.set(namespace, socket);
      this.#follow(namespace, socket);
    }
  }

  close(problem = unanswered("The connection is closed.", false)) {
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    this.#manager = null;
    for (const socket of sockets) socket.disconnect();
    for (const { failed } of [...this.#waiting]) failed(problem);
    this.#turn();
  }

  /** The socket of a namespace as soon as it is connected. Throws a Refusal after `patience` ms. */
  ready(namespace, patience) {
    const socket = this.#sockets.get(namespace);
    if (socket?.connected) return socket;
    if (!socket) throw unanswered(`${namespace} is not connected.`, false);
    return this.#wait({ namespace }, patience);
  }

  /** Resolves when all namespaces are connected. Throws a Refusal. */
  async whenLive(patience) {
    if (!this.#live) await this.#wait({ namespace: null }, patience);
  }

  #wait(waiting, patience) {
    return new Promise((ready, failed) => {
      const late = () => waiting.failed(unanswered("The server cannot be reached.", false));
      const timer = patience <= LONGEST_TIMER_MS ? setTimeout(late, patience) : 0;
      const settle = (done) => (value) => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        done(value);
      };
      Object.assign(waiting, { ready: settle(ready), failed: settle(failed) });
      this.#waiting.add(waiting);
    });
  }

  #follow(namespace, socket) {
    socket.on("connect", () => {
      for (const waiting of [...this.#waiting]) {
        if (waiting.namespace === namespace) waiting.ready(socket);
      }
      this.#turn();
    });
    socket.on("disconnect", (reason) => {
      this.#turn();
      // The server ends a namespace when its token has expired: it comes back with a new one.
      if (reason === "io server disconnect") this.#again(socket, namespace);
    });
    socket.on("connect_error", ({ data }) => {
      if (data?.code) this.#refused(socket, namespace, data);
    });
    socket.onAny((name, envelope) => this.pushed(namespace, name, envelope));
  }

  #refused(socket, namespace, problem) {
    if (ENDED.has(problem.code)) this.session.revoked(problem.message);
    else if (PASSING.has(problem.code)) {
      this.#again(socket, namespace, problem.details?.retry_after, problem.code);
    } else this.close(new Refusal(problem));
  }

  async #again(socket, namespace, seconds = 0, code = "") {
    await pause(1_000 * seconds + AGAIN_MS * (1 + Math.random()));
    const refused = code === "token_expired" && this.#given === this.session.current?.access_token;
    if (refused) await this.session.renew().catch(() => {});
    if (this.#sockets.get(namespace) === socket && !socket.connected) socket.connect();
  }

  #turn() {
    const sockets = [...this.#sockets.values()];
    const live = sockets.length > 0 && sockets.every((socket) => socket.connected);
    if (live === this.#live) return;
    this.#live = live;
    this.turned(live);
    if (!live) return;
    for (const waiting of [...this.#waiting]) if (!waiting.namespace) waiting.ready();
  }
}
