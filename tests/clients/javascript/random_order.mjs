// Random pushes that are lost, doubled and late, against a feed and conversations of the client.
//
//   node random_order.mjs SEED RUNS
//
// The server's side is a list of events and lists of messages, of which it answers a few at a time.
// Prints the problems as JSON.
import { Conversations } from '../../../static/client/conversations.js';
import { Feed } from '../../../static/client/feed.js';

const STEPS = 60;
const PAGE = 3; // items of one answer
let [seed, runs] = process.argv.slice(2).map(Number);

/** mulberry32: the same seed makes the same numbers. */
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

const chance = (part) => random() < part;
const pick = (list) => list[Math.floor(random() * list.length)];
const turns = async (most) => {
  for (let left = Math.floor(random() * most); left > 0; left -= 1) await null;
};

/** Sends most pushes, some of them twice or later than others. */
class Line {
  waiting = [];

  constructor(take) {
    this.take = take;
  }

  push(item) {
    if (chance(0.2)) return;
    this.waiting.push(item);
    if (chance(0.2)) this.waiting.push(item);
  }

  flow() {
    while (this.waiting.length && chance(0.8)) {
      const place = chance(0.2) ? Math.floor(random() * this.waiting.length) : 0;
      this.take(...this.waiting.splice(place, 1)[0]);
    }
  }
}

async function feedRun() {
  let head = Math.floor(random() * 5);
  const before = head;
  const seen = [];
  const feed = new Feed({
    async sync(since, limit) {
      await turns(4);
      const last = Math.min(head, since + Math.min(limit, PAGE));
      const items = Array.from({ length: Math.max(0, last - since) }, (_, n) => ({
        seq: since + n + 1, namespace: '/job', name: 'job.updated',
      }));
      await turns(4);
      return { items, head };
    },
    deliver: (_namespace, _name, { seq }) => seen.push(seq),
    tooOld: () => seen.push('too old'),
    since: before,
  });
  const line = new Line((seq) => feed.take('/job', 'job.updated', { seq }));
  for (let step = 0; step < STEPS; step += 1) {
    if (chance(0.6)) line.push([(head += 1)]);
    line.flow();
    if (chance(0.1)) feed.head(head);
    if (chance(0.05)) feed.catchUp();
    await turns(6);
  }
  await feed.catchUp();
  const wanted = Array.from({ length: head - before }, (_, n) => before + n + 1);
  return seen.join() === wanted.join() ? [] : [`feed: ${seen} instead of ${wanted}`];
}

async function chatRun() {
  const talks = new Map(); // id -> {messages, revision, active}
  let moment = 0;
  const open = () => talks.set(`c${talks.size}`, { messages: [], revision: 0, active: (moment += 1) });
  const write = (id) => {
    const talk = talks.get(id);
    talk.active = moment += 1;
    const seq = talk.messages.length + 1;
    talk.messages.push({ id: `${id}.${seq}`, conversation_id: id, seq, revision: 0, version: 1 });
    return talk.messages.at(-1);
  };
  const change = (id) => {
    const talk = talks.get(id);
    if (!talk.messages.length) return null;
    const { seq, version, ...rest } = pick(talk.messages);
    talk.messages[seq - 1] = { ...rest, seq, version: version + 1, revision: (talk.revision += 1) };
    return talk.messages[seq - 1];
  };
  const commands = {
    list({ cursor = 0 }) {
      const sorted = [...talks].sort(([, a], [, b]) => b.active - a.active).slice(cursor, cursor + PAGE);
      const items = sorted.map(([id, { messages, revision, active }]) => ({
        id, head: messages.length, revision, active_at: new Date(active * 60_000).toISOString(),
      }));
      return { items, next_cursor: cursor + PAGE < talks.size ? cursor + PAGE : null };
    },
    sync({ conversations, revisions }) {
      let left = PAGE;
      const some = (list) => {
        const taken = list.slice(0, left);
        left -= taken.length;
        return taken;
      };
      const missed = {};
      const changes = {};
      for (const id of Object.keys(conversations)) {
        const { messages, revision } = talks.get(id);
        const changed = messages.filter((message) => message.revision > revisions[id]);
        missed[id] = { items: some(messages.slice(conversations[id])), head: messages.length };
        changes[id] = { items: some(changed.sort((a, b) => a.revision - b.revision)), revision };
      }
      return { conversations: missed, changes };
    },
  };
  const seen = [];
  const client = new Conversations(
    async (name, fields) => {
      await turns(4);
      const answer = structuredClone(commands[name](fields));
      await turns(4);
      return answer;
    },
    (message) => seen.push(message),
  );
  for (let count = 1 + Math.floor(random() * 4); count > 0; count -= 1) open();
  for (const id of talks.keys()) for (let n = Math.floor(random() * 4); n > 0; n -= 1) write(id);
  const before = new Map([...talks].map(([id, { messages }]) => [id, structuredClone(messages)]));
  await client.catchUp();
  const line = new Line((message) => client.take(message));
  for (let step = 0; step < STEPS; step += 1) {
    if (chance(0.03)) open();
    const id = pick([...talks.keys()]);
    const made = chance(0.7) ? write(id) : change(id);
    if (made) line.push([structuredClone(made)]);
    line.flow();
    if (chance(0.05)) client.catchUp();
    await turns(6);
  }
  await client.catchUp();
  return [...talks].flatMap(([id, { messages }]) => check(id, messages, before.get(id) ?? [], seen));
}

/** New messages came in order and once, and of each that is new or changed its last version. */
function check(id, messages, before, seen) {
  const problems = [];
  const mine = seen.filter((message) => message.conversation_id === id);
  const first = mine.filter(({ seq }, place) =>
    seq > before.length && mine.findIndex((message) => message.seq === seq) === place);
  const order = first.map(({ seq }) => seq);
  const wanted = messages.slice(before.length).map(({ seq }) => seq);
  if (order.join() !== wanted.join()) problems.push(`${id}: ${order} instead of ${wanted}`);
  const versions = mine.map(({ seq, version }) => `${seq}.${version}`);
  if (new Set(versions).size !== versions.length) problems.push(`${id}: twice: ${versions}`);
  for (const { seq, version } of messages) {
    const known = Math.max(before[seq - 1]?.version ?? 0,
      ...mine.filter((message) => message.seq === seq).map((message) => message.version));
    if (known !== version) problems.push(`${id}: ${seq} is known as ${known} instead of ${version}`);
  }
  return problems;
}

const problems = [];
for (let run = 0; run < runs && problems.length < 5; run += 1) {
  const began = seed;
  const found = [...await feedRun(), ...await chatRun()];
  problems.push(...found.map((problem) => `seed ${began}: ${problem}`));
}
console.log(JSON.stringify(problems));
