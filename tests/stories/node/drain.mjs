// Pairs of users that keep chatting while a server process drains.
//
//   node drain.mjs URL    stdin: a JSON line of [{user, access_token, conversation_id}], later "end"
//
// Writes "talking" when all are connected. The last line is a JSON summary of each user.
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Party, Refused } from './party.mjs';

const PAUSE_MS = 150;
const [url] = process.argv.slice(2);
let talking = true;

class Talker {
  constructor({ conversation_id, ...signedIn }) {
    this.me = new Party(url, signedIn);
    this.conversation = conversation_id;
    this.acked = [];
    this.lost = []; // times of disconnects, in ms since the epoch
    this.back = []; // times at which all namespaces were connected again
    this.resent = 0;
  }

  async connect() {
    await this.me.connect();
    const chat = this.me.sockets['/chat'];
    chat.on('disconnect', () => this.lost.push(Date.now()));
    chat.on('connect', () => this.catchUp().catch((error) => this.me.problem(error)));
    for (const socket of Object.values(this.me.sockets)) {
      socket.on('connect', () => this.whole && this.back.push(Date.now()));
    }
  }

  get whole() {
    return Object.values(this.me.sockets).every(({ connected }) => connected);
  }

  async talk() {
    while (talking) {
      await this.say(randomUUID());
      await sleep(PAUSE_MS * (0.5 + Math.random()));
    }
  }

  // Send a message until it is acknowledged, over any number of connections.
  async say(client_id) {
    const fields = { conversation_id: this.conversation, client_id, text: client_id };
    for (;;) {
      try {
        await this.me.call('/chat', 'send', fields);
        this.acked.push(client_id);
        return;
      } catch (error) {
        if (error instanceof Refused) throw error;
        this.resent += 1;
        await sleep(20);
      }
    }
  }

  get heard() {
    return this.me.messages.get(this.conversation) ?? [];
  }

  async catchUp() {
    for (;;) {
      const conversations = { [this.conversation]: this.heard.length };
      const answer = await this.me.call('/chat', 'sync', { conversations });
      const { items, head } = answer.conversations[this.conversation];
      this.me.hasMissed(items);
      if (this.heard.length >= head) return;
    }
  }

  async summary() {
    while (!this.whole) await sleep(10);
    await this.catchUp();
    await this.me.catchUp();
    return {
      id: this.me.id, acked: this.acked, heard: this.heard.map(({ client_id }) => client_id),
      lost: this.lost, back: this.back, again: this.resent, problems: this.me.problems,
    };
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const people = JSON.parse((await lines.next()).value).map((each) => new Talker(each));
await Promise.all(people.map((each) => each.connect()));
const talks = people.map((each) => each.talk());
console.log('talking');
await lines.next();
talking = false;
await Promise.all(talks);
console.log(JSON.stringify(await Promise.all(people.map((each) => each.summary()))));
process.exit(0);
