// Records and their lists: the highest version stays, and pushed records enter and leave lists.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Records } from '../../static/js/shared/records.js';

const job = (id, version, status = 'open', created_at = `2026-01-0${id}`) => ({ id: String(id), version, status, created_at });

function opened(records, pages) {
  const asked = [];
  const list = records.list({
    read: async (cursor) => {
      asked.push(cursor);
      return pages[asked.length - 1];
    },
    fits: ({ status }) => status === 'open',
  });
  return { list, asked };
}

test('an older version does not replace a newer one', () => {
  const records = new Records();
  records.put(job(1, 2, 'completed'));
  records.put(job(1, 1));
  assert.equal(records.peek('1').status, 'completed');
});

test('a record that is read before it comes is drawn when it does', () => {
  const records = new Records();
  const known = records.of('1');
  assert.equal(known.value, null);
  records.put(job(1, 1));
  assert.equal(known.value.version, 1);
});

test('pages follow each other, and a record is listed once', async () => {
  const records = new Records();
  const { list, asked } = opened(records, [
    { items: [job(3, 1), job(2, 1)], next_cursor: 'after 2' },
    { items: [job(2, 1), job(1, 1)], next_cursor: null },
  ]);
  await list.load();
  assert.deepEqual([list.ids.value, list.more.value], [['3', '2'], true]);
  await list.loadMore();
  assert.deepEqual([list.ids.value, list.more.value, asked], [['3', '2', '1'], false, [undefined, 'after 2']]);
});

test('a pushed record enters in order, leaves when it does not fit, and waits for its page', async () => {
  const records = new Records();
  const { list } = opened(records, [{ items: [job(4, 1), job(2, 1)], next_cursor: 'after 2' }]);
  await list.load();
  records.put(job(3, 1));
  records.put(job(1, 1)); // is on the next page
  records.put(job(5, 1, 'completed'));
  assert.deepEqual(list.ids.value, ['4', '3', '2']);
  records.put(job(4, 2, 'completed'));
  assert.deepEqual(list.ids.value, ['3', '2']);
});

test('an answer to an earlier reading is of no use', async () => {
  const records = new Records();
  const waiting = [];
  const list = records.list({ read: () => new Promise((done) => waiting.push(done)) });
  const first = list.load();
  const second = list.load();
  waiting[1]({ items: [job(2, 1)], next_cursor: null });
  await second;
  waiting[0]({ items: [job(1, 1)], next_cursor: null });
  await first;
  assert.deepEqual(list.ids.value, ['2']);
});

test('a list tells why it could not be read, and keeps what it has', async () => {
  const records = new Records();
  const answers = [{ items: [job(1, 1)], next_cursor: null }, new Error('away')];
  const list = records.list({
    read: async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  await list.load();
  await list.load();
  assert.deepEqual([list.ids.value, list.problem.value.message], [['1'], 'away']);
});
