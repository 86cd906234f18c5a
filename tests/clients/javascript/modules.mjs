// Modules of the client alone, in moments that a server cannot bring about.
//
//   node --expose-gc modules.mjs CASE
//
// Fails with the problem.
import assert from 'node:assert/strict';
import { Commands } from '../../../static/client/commands.js';
import { JobSphere } from '../../../static/client/jobsphere.js';
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
    client.http.send = (route, fields, { token } = {}) =>
      new Promise((_, failed) => told.push({ route, token, failed }));
    client.adopt(session('a', 1, -60));
    const refused = failing(client.job.mine());
    while (!told.length) await turn();
    client.adopt(session('b'));
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
    mine.adopt(session('a'));
    const renewal = failing(mine.renew());
    while (!refuse.length) await turn();
    mine.end();
    mine.adopt(session('b'));
    refuse[0](refusal('unauthenticated'));
    await renewal;
    assert.deepEqual([ended, mine.current.user.id], [[null], 'b']);
  },

  async a_late_end_leaves_the_next_session_in_the_storage() {
    const storage = new Store();
    const options = { storage, ended() {} };
    const one = new Session({}, options);
    one.adopt(session('a'));
    const two = new Session({}, options);
    one.end();
    one.adopt(session('b'));
    two.adopt({ ...session('a', 2), user: undefined });
    const kept = () => JSON.parse(storage.getItem('jobsphere.session')).user.id;
    assert.equal(kept(), 'b');
    two.end();
    assert.equal(kept(), 'b');
  },
};

await cases[process.argv[2]]();
process.exit(0);
