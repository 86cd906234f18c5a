// One user with the official client: registers, connects, and applies the feed in order.
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Manager } from 'socket.io-client';

const NAMESPACES = ['/account', '/bidding', '/chat', '/job', '/job-request', '/payment', '/wallet'];
const PATIENCE_MS = 30_000;
const PAGE = 100;

export class Refused extends Error {
  constructor(what, error) {
    super(`${what}: ${error.code}: ${error.message}`);
    this.code = error.code;
  }
}

export async function http(url, method, path, body, token) {
  const response = await fetch(url + path, {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused(`${method} ${path}`, { ...answer, message: answer.title });
  return answer;
}

// The feed rule: the event with the next seq is applied, a gap is filled by `sync`, an old event is
// dropped. Chat messages follow the same rule with the seq of their conversation.
export class Party {
  constructor(url, signedIn) {
    this.url = url;
    this.id = signedIn.user.id;
    this.name = signedIn.user.name;
    this.token = signedIn.access_token;
    this.applied = []; // {seq, namespace, name, data, way}, in order
    this.messages = new Map(); // conversation -> its messages in order
    this.counts = { push: 0, sync: 0, duplicates: 0, jumps: 0, ephemeral: 0 };
    this.problems = [];
    this.waiting = [];
    this.early = new Map(); // seq -> pushed before its turn
    this.syncing = null;
    this.sockets = {};
  }

  get last() {
    return this.applied.length; // seqs begin at 1 and have no gaps
  }

  async connect() {
    // One Manager: all namespaces share one connection, which reconnects automatically.
    const manager = new Manager(this.url, {
      transports: ['websocket'],
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
    });
    for (const name of NAMESPACES) {
      const socket = manager.socket(name, { auth: (give) => give({ token: this.token }) });
      socket.connect();
      socket.onAny((event, envelope) => this.#pushed(name, event, envelope));
      this.sockets[name] = socket;
    }
    await Promise.all(Object.values(this.sockets).map((socket) => ready(socket)));
    await this.catchUp();
    this.sockets['/account'].on('connect', () => this.catchUp().catch((e) => this.problem(e)));
  }

  close() {
    for (const socket of Object.values(this.sockets)) socket.disconnect();
  }

  // Close the transport without a disconnect packet, run `whileAway`, then reconnect.
  async away(whileAway) {
    const { io: manager } = this.sockets['/account'];
    manager.reconnection(false);
    manager.engine.close();
    const result = await whileAway();
    manager.reconnection(true);
    for (const socket of Object.values(this.sockets)) socket.connect();
    await Promise.all(Object.values(this.sockets).map((socket) => ready(socket)));
    return result;
  }

  async call(namespace, event, fields = {}, request_id = randomUUID()) {
    const socket = this.sockets[namespace].timeout(PATIENCE_MS);
    const ack = await socket.emitWithAck(event, fields, { request_id });
    if (!ack.ok) throw new Refused(`${namespace} ${event}`, ack.error);
    return ack.data;
  }

  http(method, path, body) {
    return http(this.url, method, path, body, this.token);
  }

  // The data of the first event that `fits`; waits for it.
  sees(namespace, name, fits = () => true) {
    const find = () =>
      this.applied.find((e) => e.namespace === namespace && e.name === name && fits(e.data));
    return this.#until(() => find()?.data, `no fitting ${namespace} ${name}`);
  }

  hears(conversation, fits) {
    return this.#until(() => this.messages.get(conversation)?.find(fits), 'no fitting message');
  }

  // -- the feed rule ----------------------------------------------------------------------------

  #pushed(namespace, name, envelope) {
    const { seq, data } = envelope;
    if (name === 'message') this.#heard(data);
    else if (seq !== null) this.#numbered({ seq, namespace, name, data });
    else this.counts.ephemeral += 1;
    if (name === 'head' && data.head > this.last) this.#close();
  }

  #numbered(event) {
    if (event.seq <= this.last || this.early.has(event.seq)) {
      this.counts.duplicates += 1;
    } else if (event.seq === this.last + 1 && !this.syncing) {
      this.#apply(event, 'push');
    } else {
      this.early.set(event.seq, event);
      if (!this.syncing) this.counts.jumps += 1;
      this.#close();
    }
  }

  #apply(event, way) {
    if (event.seq !== this.last + 1) {
      this.problem(new Error(`number ${event.seq} after ${this.last}`));
      return;
    }
    this.applied.push({ ...event, way });
    this.counts[way] += 1;
    this.#look();
    const next = this.early.get(event.seq + 1);
    this.early.delete(event.seq);
    this.early.delete(event.seq + 1);
    if (next) this.#apply(next, 'push');
  }

  #close() {
    this.catchUp().catch((error) => this.problem(error));
  }

  // Sync everything after the last seq; one sync at a time.
  catchUp() {
    this.syncing ??= this.#sync().finally(() => {
      this.syncing = null;
      const next = this.early.get(this.last + 1);
      if (next) this.#apply(next, 'push');
      if (this.early.size) this.#close();
    });
    return this.syncing;
  }

  async #sync() {
    for (;;) {
      const { items, head } = await this.call('/account', 'sync', { since: this.last, limit: PAGE });
      for (const { seq, namespace, name, data } of items) {
        if (seq > this.last) this.#apply({ seq, namespace, name, data }, 'sync');
      }
      if (this.last >= head) return;
    }
  }

  #heard(message) {
    const id = message.conversation_id;
    const known = this.messages.get(id) ?? [];
    this.messages.set(id, known);
    if (message.seq === known.length + 1) known.push(message);
    else if (message.seq > known.length) this.#syncChat(id).catch((e) => this.problem(e));
    this.#look();
  }

  // Apply messages from a sync, also of a conversation that began before this client joined.
  hasMissed(messages) {
    for (const message of messages) this.#heard(message);
  }

  async #syncChat(id) {
    const after = this.messages.get(id).length;
    const { conversations } = await this.call('/chat', 'sync', { conversations: { [id]: after } });
    this.hasMissed(conversations[id].items);
  }

  // A sync that fails because the connection ended is repeated after the reconnect.
  problem(error) {
    if (error.message !== 'socket has been disconnected') this.problems.push(String(error));
    this.#look();
  }

  // -- waiting -----------------------------------------------------------------------------

  #until(find, problem) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const got = this.applied.map((e) => `${e.seq} ${e.namespace} ${e.name}`);
        reject(new Error(`${this.name}: ${problem}; applied: ${got.join(', ')}`));
      }, PATIENCE_MS);
      const look = () => {
        const found = find();
        if (found === undefined) return false;
        clearTimeout(timer);
        resolve(found);
        return true;
      };
      if (!look()) this.waiting.push(look);
    });
  }

  #look() {
    this.waiting = this.waiting.filter((look) => !look());
  }

  // -- the comparison ---------------------------------------------------------------------------

  // Compare the applied events one by one with the server's feed.
  async compare() {
    const kept = [];
    let head;
    do {
      const since = kept.length;
      const page = await this.call('/account', 'sync', { since, limit: PAGE });
      kept.push(...page.items);
      head = page.head;
    } while (kept.length < head);
    await this.#until(() => (this.last >= head ? true : undefined), `no number ${head}`);
    kept.forEach((item, place) => {
      const { seq, namespace, name, data } = this.applied[place];
      const same =
        seq === place + 1 && item.seq === seq && item.name === name &&
        item.namespace === namespace && item.data.id === data.id &&
        isDeepStrictEqual(item.data, data);
      if (!same) this.problems.push(`number ${place + 1}: ${name} pushed, ${item.name} kept`);
    });
    return kept.length;
  }
}

function ready(socket) {
  if (socket.connected) return undefined;
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', (error) => {
      reject(new Error(`${socket.nsp}: ${error.data?.code ?? error.message}`));
    });
  });
}
