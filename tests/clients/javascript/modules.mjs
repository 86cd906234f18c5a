// Modules of the client alone, in moments that a server cannot bring about.
//
//   node --expose-gc modules.mjs CASE
//
// Fails with the problem.
import assert from 'node:assert/strict';
import { Commands } from '../../../static/client/commands.js';
import { unanswered } from '../../../static/client/refusal.js';

const turn = () => new Promise((done) => setTimeout(done, 5));
const failing = (promise) => promise.then(() => assert.fail('not refused'), (refused) => refused);

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
};

await cases[process.argv[2]]();
process.exit(0);
