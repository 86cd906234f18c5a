// One side of a job from registration to payout. Two of these processes play a whole job.
//
//   node story.mjs customer|contractor URL WORD [--away]
//
// The contractor finds the job by its unusual WORD. With `--away` the contractor is disconnected
// while it is shortlisted. The last line is a JSON summary.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Party, http } from './party.mjs';

const [role, url, word, ...options] = process.argv.slice(2);
const email = process.env.EMAIL ?? `${role}-${randomUUID()}@node.test`;
const password = process.env.PASSWORD ?? 'a long enough password';
const AMOUNT = 100_000;

const print = (...words) => console.log(`${role}:`, ...words);

function expect(what, found, wanted) {
  if (found !== wanted) throw new Error(`${role}: ${what} is ${found} instead of ${wanted}`);
}

/** The number of text messages of a conversation, without the platform's system messages. */
function spoken(me, conversation) {
  return me.messages.get(conversation).filter(({ kind }) => kind === 'text').length;
}

async function customer(me) {
  const posting = {
    title: `Paint the ${word} fence`, description: 'Twelve metres of wood.', category: 'painting',
    budget_min_amount: AMOUNT / 2, budget_max_amount: AMOUNT, currency: 'USD', skills: ['painting'],
  };
  const request = randomUUID();
  const job = await me.call('/job', 'create', posting, request);
  const again = await me.call('/job', 'create', posting, request);
  expect('a repeated request', again.id, job.id);
  await me.sees('/job', 'job.updated', (data) => data.id === job.id && data.status === 'open');

  const application = await me.sees(
    '/job-request', 'application.created', (data) => data.job_id === job.id,
  );
  await me.call('/job-request', 'accept', { application_id: application.id });
  const contractor = application.contractor_id;
  const { id: conversation_id } = await me.call(
    '/chat', 'open', { job_id: job.id, user_id: contractor },
  );
  const sent = await me.call('/chat', 'send', { conversation_id, text: 'Monday?' });
  await me.sees('/chat', 'read', (data) => data.user_id === contractor && data.seq >= sent.seq);
  const reply = await me.hears(conversation_id, (message) => message.author_id === contractor);
  await me.call('/chat', 'read', { conversation_id, seq: reply.seq });

  const { offer } = await me.call('/bidding', 'create', {
    job_id: job.id, contractor_id: contractor, amount: AMOUNT, currency: 'USD',
    description: 'As discussed.', timeline_days: 5, payment_method: 'pm_card_visa',
  });
  await me.sees('/bidding', 'offer.accepted', (data) => data.id === offer.id);
  await me.sees('/job', 'job.updated', (data) => data.id === job.id && data.delivered_at);
  const { split } = await me.call('/job', 'complete', { job_id: job.id });
  await me.sees('/job', 'job.updated', (data) => data.id === job.id && data.status === 'completed');
  return { job: job.id, split, messages: spoken(me, conversation_id) };
}

async function contractor(me) {
  await onboard(me);
  const job = await findJob(me);
  const application = await me.call('/job-request', 'apply', {
    job_id: job.id, cover_letter: 'A hundred fences.', proposed_amount: AMOUNT, timeline_days: 5,
  });
  if (options.includes('--away')) await me.away(() => shortlisted(me, application.id));
  await me.sees(
    '/job-request', 'application.updated',
    (data) => data.id === application.id && data.status === 'accepted',
  );
  const { id: conversation_id } = await me.call(
    '/chat', 'open', { job_id: job.id, user_id: job.customer_id },
  );
  const { conversations } = await me.call(
    '/chat', 'sync', { conversations: { [conversation_id]: 0 } },
  );
  me.hasMissed(conversations[conversation_id].items);
  const asked = await me.hears(conversation_id, (message) => message.text === 'Monday?');
  await me.call('/chat', 'read', { conversation_id, seq: asked.seq });
  await me.call('/chat', 'send', { conversation_id, text: 'At eight.' });

  const offer = await me.sees('/bidding', 'offer.created', (data) => data.job_id === job.id);
  await me.call('/bidding', 'accept', { offer_id: offer.id });
  await me.sees('/bidding', 'offer.accepted', (data) => data.id === offer.id);
  await me.call('/job', 'start', { job_id: job.id });
  await me.call('/job', 'deliver', { job_id: job.id, note: 'Two coats.' });
  const { available: amount } = await me.sees('/wallet', 'wallet.updated', (data) => data.available);
  const withdrawal = await me.call('/wallet', 'withdraw', { amount });
  await me.sees(
    '/wallet', 'withdrawal.updated', (data) => data.id === withdrawal.id && data.status === 'paid',
  );
  const wallet = await me.call('/wallet', 'balance');
  await me.hears(conversation_id, (message) => message.text === 'At eight.');
  return {
    job: job.id, earned: amount, available: wallet.available, pending: wallet.pending,
    in_transit: wallet.in_transit, messages: spoken(me, conversation_id),
  };
}

async function onboard(me) {
  const { url: page } = await me.call('/account', 'onboard');
  const form = { name: me.name, bank_account: '000123456789', currencies: 'usd' };
  const response = await fetch(page, {
    method: 'POST', body: new URLSearchParams(form), redirect: 'manual',
  });
  expect('the answer of the onboarding page', response.status, 303);
  await me.sees('/account', 'account.updated', (data) => data.payouts_enabled);
}

async function findJob(me) {
  for (let tries = 0; tries < 300; tries += 1) {
    const { items } = await me.call('/job', 'list', { q: word });
    if (items.length) return items[0];
    await sleep(100);
  }
  throw new Error(`no job with the word ${word}`);
}

async function shortlisted(me, id) {
  for (let tries = 0; tries < 300; tries += 1) {
    const { status } = await me.http('GET', `/api/job-request/${id}`);
    if (status === 'accepted') return;
    await sleep(100);
  }
  throw new Error('the application was not accepted');
}

const registration = { email, password, name: `Node ${role}`, role };
const me = new Party(url, await http(url, 'POST', '/api/account/register', registration));
await me.connect();
const outcome = await { customer, contractor }[role](me);
const compared = await me.compare();
const { push, sync, ...rest } = me.counts;
print(`${push} events came by push, ${sync} by sync; ${compared} compared with the server's feed`);
for (const { seq, namespace, name, way } of me.applied) print(seq, namespace, name, `(${way})`);
me.close();
console.log(JSON.stringify({
  role, ...outcome, compared, by_push: push, by_sync: sync, ...rest,
  seqs: me.applied.map((event) => event.seq), problems: me.problems,
}));
process.exitCode = me.problems.length ? 1 : 0;
