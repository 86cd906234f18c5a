// Pairs of JavaScript clients of a soak test: they chat, post and change jobs, apply and shortlist.
// The first two have a second tab each.
//
//   node clients.mjs    stdin: a JSON line {url, pause, people}, later "stop" and "sync"
//
// `people` are in turn a customer and a contractor, `pause` is in seconds. Writes "acting" when all
// have met, "idle" when all commands are acknowledged after "stop", and a JSON summary of each
// client after "sync".
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { JobSphere } from '../../static/client/jobsphere.js';

const JOB = {
  title: 'Paint the fence', description: 'Twelve metres of wooden fence, two coats.',
  category: 'painting', budget_min_amount: 1000, budget_max_amount: 2000, currency: 'USD',
};
const APPLICATION = { cover_letter: 'I can.', proposed_amount: 1500, timeline_days: 3 };
const AGAIN = new Set(['conflict', 'internal']); // the client itself repeats after other refusals
const KEY = ['id', 'version', 'conversation_id', 'user_id', 'seq'];
const MOST_PENDING = 6;

let acting = true;

class Person {
  constructor(url, { id, role, ...tokens }) {
    this.id = id;
    this.client = new JobSphere({ url, since: 0, patience: Infinity });
    this.client.adopt({ user: { id, role }, ...tokens });
    this.tokens = tokens;
    this.client.on('push', (push) => this.pushed(push));
    this.client.on('reload', () => this.problems.push('reload'));
    this.client.on('end', (reason) => this.problems.push(`end: ${reason}`));
    this.feed = []; // of [namespace, name, key]
    this.talks = {}; // conversation -> [[seq, author, client id, text]]
    this.acked = []; // of [namespace, name, fields, data]
    this.pending = new Set();
    this.problems = [];
    this.jobs = [];
    this.sent = 0;
  }

  pushed({ namespace, name, seq, data }) {
    if (name === 'message') {
      const talk = (this.talks[data.conversation_id] ??= []);
      if (data.seq !== talk.length + 1) this.problems.push(`message ${data.seq} after ${talk.length}`);
      talk.push([data.seq, data.author_id, data.client_id, data.text]);
    } else if (seq !== null) {
      if (seq !== this.feed.length + 1) this.problems.push(`number ${seq} after ${this.feed.length}`);
      this.feed.push([namespace, name, KEY.map((field) => data[field] ?? null)]);
    }
    if (name === 'job.updated') this.heardOf(data);
  }

  heardOf(job) {
    if (job.customer_id === this.partner?.id && !this.jobs.includes(job.id)) {
      this.jobs.push(job.id);
      if (acting) this.do('jobRequest', 'apply', { job_id: job.id, ...APPLICATION });
    }
  }

  // Run a command until it is acknowledged or finally refused.
  do(namespace, name, fields) {
    const requestId = crypto.randomUUID();
    const running = this.repeat(namespace, name, fields, requestId);
    this.pending.add(running);
    return running.finally(() => this.pending.delete(running));
  }

  async repeat(namespace, name, fields, requestId) {
    for (;;) {
      try {
        const data = await this.client[namespace][name](fields, { requestId });
        const given = name === 'send' ? { client_id: requestId, ...fields } : fields;
        this.acked.push([namespace, name, given, data]);
        return data;
      } catch (refused) {
        if (!AGAIN.has(refused.code)) {
          this.problems.push(`${namespace} ${name}: ${refused.code ?? refused.stack}`);
          return null;
        }
        await sleep(300);
      }
    }
  }

  // A customer shortlists its partner, which opens their conversation.
  async meet(partner) {
    const job = await this.do('job', 'create', JOB);
    partner.jobs.push(job.id);
    const applied = { job_id: job.id, ...APPLICATION };
    const application = await partner.do('jobRequest', 'apply', applied);
    this.jobs.push(job.id);
    await this.do('jobRequest', 'accept', { application_id: application.id });
    const opened = { job_id: job.id, user_id: partner.id };
    this.conversation = partner.conversation = (await this.do('chat', 'open', opened)).id;
    partner.partner = this; // from now on it applies for each new job
  }

  async live(pause) {
    while (acting) {
      await sleep(-Math.log(1 - Math.random()) * pause * 1000);
      if (acting && this.pending.size < MOST_PENDING) this.act();
    }
  }

  async act() {
    const conversation_id = this.conversation;
    const chance = Math.random();
    if (chance < 0.8) {
      for (let count = 1 + Math.floor(Math.random() * 3); count > 0; count -= 1) {
        this.sent += 1;
        this.do('chat', 'send', { conversation_id, text: `number ${this.sent}` });
      }
    } else if (chance < 0.9) {
      const seq = this.talks[conversation_id]?.length;
      if (seq) this.do('chat', 'read', { conversation_id, seq });
    } else if (!this.partner) {
      const job_id = this.jobs[Math.floor(Math.random() * this.jobs.length)];
      if (chance < 0.95) this.do('job', 'update', { job_id, title: `Paint ${crypto.randomUUID()}` });
      else this.do('job', 'create', JOB).then((job) => job && this.jobs.push(job.id));
    }
  }

  // For whoever looks for the reason why a run does not end.
  tellPending() {
    const { id, client, pending } = this;
    if (pending.size) console.error(id, pending.size, 'pending, live:', client.live);
  }

  get seen() {
    return this.feed.length + Object.values(this.talks).reduce((sum, talk) => sum + talk.length, 0);
  }

  async summary() {
    const before = this.seen;
    await this.client.feed.catchUp();
    await this.client.conversations.catchUp();
    const { id, feed, talks, acked, problems } = this;
    const renewed = this.client.session.current.refresh_token !== this.tokens.refresh_token;
    return { id, feed, talks, acked, problems, renewed, late: this.seen - before };
  }
}

// A second tab of the same session, which only looks on.
class Tab extends Person {
  heardOf() {}
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { url, pause, people } = JSON.parse((await lines.next()).value);
const all = people.map((each) => new Person(url, each));
const tabs = people.slice(0, 2).map((each) => new Tab(url, each));
const clients = [...all, ...tabs];
await Promise.all(clients.map(async ({ client }) => {
  await client.connect();
  await client.conversations.catchUp();
}));
await Promise.all(all.flatMap((each, place) => (place % 2 ? [] : each.meet(all[place + 1]))));
const living = all.map((each) => each.live(pause));
console.log('acting');
await lines.next();
acting = false;
await Promise.all(living);
const late = setInterval(() => all.forEach((each) => each.tellPending()), 30_000);
while (all.some(({ pending }) => pending.size)) {
  await Promise.all(all.flatMap(({ pending }) => [...pending]));
}
clearInterval(late);
console.log('idle');
await lines.next();
await Promise.all(clients.map(({ client }) => client.connect())); // until those that were cut are back
const count = () => clients.reduce((sum, { seen }) => sum + seen, 0);
for (let before = null; before !== count();) {
  before = count();
  await sleep(1_000); // for the last pushes
}
const summaries = await Promise.all(clients.map((each) => each.summary()));
process.stdout.write(`${JSON.stringify(summaries)}\n`, () => process.exit(0)); // when all is written
