// Modules of the client alone, in moments that a server cannot bring about.
//
//   node --expose-gc modules.mjs
//
// Runs all cases, each with users of its own, because sessions of one user tell each other. Ends
// with the first problem.
import assert from 'node:assert/strict';
import { Commands } from '../../../static/client/commands.js';
import { Conversations } from '../../../static/client/conversations.js';
import { Feed } from '../../../static/client/feed.js';
import { JobSphere } from '../../../static/client/jobsphere.js';
import { Listeners } from '../../../static/client/listeners.js';
import { Refusal, unanswered } from '../../../static/client/refusal.js';
import { Session } from '../../../static/client/session.js';

const turn = () => new Promise((done) => setTimeout(done, 5));
const refusal = (code, details) => new Refusal({ code, message: code, details });
const failing = (promise) => promise.then(() => assert.fail('not refused'), (refused) => refused);

/** A session of a user, whose tokens are those of its `round`. */
const session = (user, round = 1, seconds = 900) => ({
  user: { id: user },
  access_token: `${user}.access ${round}`,
  refresh_token: `${user}.refresh ${round}`,
  expires_at: new Date(Date.now() + 1_000 * seconds).toISOString(),
});
const json = (data) => ({ json: async () => data });

class Store {
  #items = new Map();

  getItem = (key) => this.#items.get(key) ?? null;
  setItem = (key, value) => this.#items.set(key, value);
  removeItem = (key) => this.#items.delete(key);
}

/** Commands over a socket whose answers are those of `answer`. */
function commands(answer) {
  const socket = { timeout: () => ({ emitWithAck: answer }) };
  const connection = { open: true, has: () => true, connected: () => true, ready: () => socket };
  return new Commands({}, { current: {} }, connection);
}

/** A chat server: `at` has the last number of each conversation, `changed` the changed messages. */
class Chat {
  at = { a: 5, b: 5 };
  changed = { a: [], b: [] };
  got = [];
  before = async () => {};
  client = new Conversations(
    (name, fields) => this.#answer(name, fields),
    ({ conversation_id: id, seq, revision }) => this.got.push(`${id}${seq}.${revision}`),
  );

  async #answer(name, fields) {
    await this.before(name, fields);
    if (name === 'list') return { items: Object.keys(this.at).map((id) => this.#listed(id)) };
    const answer = { conversations: {}, changes: {} };
    for (const [id, seq] of Object.entries(fields.conversations)) {
      const known = fields.revisions[id];
      const { head, revision } = this.#listed(id);
      const numbers = Array.from({ length: head }, (_, index) => index + 1);
      const items = numbers.filter((number) => number > seq).map((number) => this.message(id, number));
      const changes = this.changed[id].filter((message) => message.revision > known);
      answer.conversations[id] = { items, head };
      answer.changes[id] = { items: changes, revision };
    }
    return answer;
  }

  #listed(id) {
    const revision = Math.max(0, ...this.changed[id].map((message) => message.revision));
    return { id, head: this.at[id], revision, active_at: '2026-01-01T00:00:00Z' };
  }

  message(id, seq) {
    const changed = this.changed[id].find((message) => message.seq === seq);
    return changed ?? { conversation_id: id, seq, revision: 0 };
  }

  /** The next message of a conversation. */
  say(id) {
    this.at[id] += 1;
    return this.message(id, this.at[id]);
  }

  /** The next change of a conversation. */
  change(id, seq) {
    const revision = this.#listed(id).revision + 1;
    const kept = this.changed[id].filter((message) => message.seq !== seq);
    const message = { conversation_id: id, seq, revision };
    this.changed[id] = [...kept, message];
    return message;
  }
}

const SEND = { event: 'send', namespace: '/chat', repeat: 'request_id' };

const cases = {
  async answers_are_not_kept() {
    const sending = commands(async () => ({ ok: true, data: {} }));
    const answers = [];
    for (let n = 0; n < 3; n += 1) answers.push(new WeakRef(await sending.run(SEND)));
    await turn();
    global.gc();
    assert.equal(answers[0].deref(), undefined);
  },

  async each_command_says_whether_it_was_sent() {
    const fails = [];
    const sending = commands(() => new Promise((_, failed) => fails.push(failed)));
    const all = [sending.run(SEND), sending.run(SEND), sending.run({ ...SEND, namespace: '/job' })];
    const refused = Promise.all(all.map(failing));
    await turn();
    sending.stop(unanswered('The client was closed.', false));
    fails.forEach((fail) => fail(new Error('disconnected')));
    assert.deepEqual((await refused).map(({ details }) => details.sent), [true, false, true]);
  },

  async signing_out_does_not_wait_for_a_renewal() {
    const told = [];
    const client = new JobSphere({ url: 'http://127.0.0.1:9' });
    client.http.send = async (route, { refresh_token }, { token } = {}) => {
      told.push([route, refresh_token ?? token]);
      if (refresh_token) return json(session('a', 2));
      if (token === 'a.access 1') throw refusal('token_expired');
      return json({ ended: true });
    };
    client.adopt(session('a', 1, -60));
    const leaving = client.account.logout();
    assert.equal(client.user, null);
    assert.deepEqual(await leaving, { ended: true });
    assert.deepEqual(told, [
      ['POST /api/account/logout', 'a.access 1'],
      ['POST /api/account/refresh', 'a.refresh 1'],
      ['POST /api/account/logout', 'a.access 2'],
    ]);
    assert.equal((await failing(client.account.logout())).code, 'unauthenticated');
  },

  async a_command_does_not_go_out_for_the_next_user() {
    const told = [];
    const client = new JobSphere({ url: 'http://127.0.0.1:9' });
    client.http.send = (route, _fields, { token } = {}) =>
      new Promise((_, failed) => told.push({ route, token, failed }));
    client.adopt(session('c', 1, -60));
    const refused = failing(client.job.mine());
    while (!told.length) await turn();
    client.adopt(session('d'));
    told[0].failed(refusal('unavailable'));
    assert.equal((await refused).code, 'unauthenticated');
    assert.deepEqual(told.map(({ route }) => route), ['POST /api/account/refresh']);
  },

  async a_late_refusal_does_not_end_the_next_session() {
    const refuse = [];
    const http = { send: () => new Promise((_, failed) => refuse.push(failed)) };
    const ended = [];
    const mine = new Session(http, { ended: (reason) => ended.push(reason) });
    assert.equal((await failing(mine.renew())).code, 'unauthenticated');
    mine.adopt(session('e'));
    const renewal = failing(mine.renew());
    while (!refuse.length) await turn();
    mine.end();
    mine.adopt(session('f'));
    refuse[0](refusal('unauthenticated'));
    await renewal;
    assert.deepEqual([ended, mine.current.user.id], [[null], 'f']);
  },

  async a_late_end_leaves_the_next_session_in_the_storage() {
    const storage = new Store();
    const options = { storage, ended() {} };
    const one = new Session({}, options);
    one.adopt(session('g'));
    const two = new Session({}, options);
    one.end();
    one.adopt(session('h'));
    two.adopt({ ...session('g', 2), user: undefined });
    const kept = () => JSON.parse(storage.getItem('jobsphere.session')).user.id;
    assert.equal(kept(), 'h');
    two.end();
    assert.equal(kept(), 'h');
  },

  async pushes_before_the_first_answer_are_delivered() {
    const waiting = [];
    const got = [];
    const feed = new Feed({
      sync: (since, limit) => new Promise((done) => waiting.push({ since, limit, done })),
      deliver: (_namespace, _name, { seq }) => got.push(seq),
      tooOld: () => assert.fail('too old'),
    });
    const item = (seq) => ({ namespace: '/job', name: 'job.updated', seq });
    const running = feed.catchUp();
    while (!waiting.length) await turn();
    [7, 6].forEach((seq) => feed.take('/job', 'job.updated', item(seq)));
    waiting[0].done({ items: [], head: 7 });
    while (waiting.length < 2) await turn();
    assert.equal(waiting[1].since, 5);
    waiting[1].done({ items: [item(6), item(7)], head: 7 });
    await running;
    feed.take('/job', 'job.updated', item(8));
    assert.deepEqual(got, [6, 7, 8]);
  },

  async messages_before_the_first_list_are_delivered() {
    const chat = new Chat();
    chat.change('a', 1);
    let pushed = false;
    chat.before = async (name) => {
      if (name !== 'list' || pushed) return;
      pushed = true;
      const [six, seven] = [chat.say('a'), chat.say('a')];
      [seven, six, chat.change('a', 2), chat.change('b', 3), chat.say('b')].forEach((message) =>
        chat.client.take(message));
    };
    await chat.client.catchUp();
    assert.deepEqual(chat.got.sort(), ['a2.2', 'a6.0', 'a7.0', 'b3.1', 'b6.0']);
  },

  async what_could_not_be_read_is_asked_for_again() {
    const chat = new Chat();
    let refusing = true;
    let refused = 0;
    chat.before = async () => {
      if (!refusing) return;
      refused += 1;
      throw refusal('internal');
    };
    assert.equal((await failing(chat.client.catchUp())).code, 'internal');
    chat.client.take(chat.say('a'));
    refusing = false;
    chat.client.retry(); // the list
    while (chat.got.length < 1) await turn();
    await turn();
    refusing = true;
    chat.say('a'); // is missed
    chat.client.take(chat.say('a'));
    while (refused < 2) await turn();
    await turn();
    refusing = false;
    chat.client.retry(); // the messages of one conversation
    while (chat.got.length < 3) await turn();
    assert.deepEqual(chat.got, ['a6.0', 'a7.0', 'a8.0']);
  },

  async administrators_have_no_conversations() {
    const chat = new Chat();
    chat.before = async () => {
      throw refusal('forbidden');
    };
    await chat.client.catchUp();
    await chat.client.begun();
  },

  async a_discarded_tab_that_comes_back_asks_the_others() {
    const [ours, theirs] = [new Store(), new Store()];
    const used = [];
    const http = {
      send: async (_route, { refresh_token }) => {
        if (used.includes(refresh_token)) throw refusal('unauthenticated');
        used.push(refresh_token);
        return json({ ...session('i', used.length + 1), user: undefined });
      },
    };
    const ended = (reason) => assert.fail(reason);
    const one = new Session(http, { storage: ours, ended });
    one.adopt(session('i', 1, 5));
    theirs.setItem('jobsphere.session', ours.getItem('jobsphere.session'));
    await one.renew();
    const two = new Session(http, { storage: theirs, ended });
    assert.equal(await two.token(), 'i.access 2');
    assert.deepEqual(used, ['i.refresh 1']);
  },

  async waiting_for_a_push_ends_with_the_client() {
    const client = new JobSphere({ url: 'http://127.0.0.1:9' });
    client.adopt(session('j'));
    const waits = [client.job.next('job.updated'), client.job.next('job.updated')];
    client.job.next('job.updated'); // is not awaited
    client.close();
    for (const wait of waits) assert.equal((await failing(wait)).code, 'unavailable');
    const over = client.job.next('job.updated');
    client.session.end('over');
    assert.equal((await failing(over)).code, 'unauthenticated');
    await turn();
  },

  async a_listener_that_throws_disturbs_nothing() {
    const listeners = new Listeners();
    const heard = [];
    const { error } = console;
    console.error = (problem) => heard.push(problem.message);
    listeners.on('push', () => { throw new Error('a fault of the program'); });
    listeners.on('push', (value) => heard.push(value));
    listeners.tell('push', 1);
    await turn();
    console.error = error;
    assert.deepEqual(heard, ['a fault of the program', 1]);
  },

  async patience_holds_over_http() {
    const client = new JobSphere({ url: 'http://127.0.0.1:9' });
    client.adopt(session('k'));
    let given;
    client.http.send = async (_route, _fields, { within }) => {
      given = within;
      throw refusal('forbidden');
    };
    await failing(client.job.mine({}, { patience: 1_000 }));
    assert.ok(given > 0 && given <= 1_000);
    await failing(client.job.mine({}, { patience: Infinity }));
    assert.ok(given <= 30_000);
  },
};

for (const [name, play] of Object.entries(cases)) {
  console.log(name);
  await play();
}
process.exit(0);
