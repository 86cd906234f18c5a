// Clients that tests control, over a Unix socket: each test has a connection with clients of its
// own, which are closed with it. Each line is a call, each line of the answer an answer or news.
//
//   node remote.mjs SOCKET
//   {"id": 1, "client": "a", "call": ["job", "create"], "arguments": [{...}]}
//
// `call` is a path below the client; `new` makes it. The program ends with its stdin.
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { JobSphere } from '../../../static/client/jobsphere.js';

const { now } = Date;

// What JSON cannot carry, and a clock that is wrong.
const MORE = {
  setClock(_client, milliseconds) {
    const { now } = Date;
    Date.now = () => now() + milliseconds;
  },
  sendText: (client, name, text) => client.files.upload({ file: new Blob([text]), name }),
  async readText(client, fields) {
    const { name, blob } = await client.files.get(fields);
    return [name, await blob.text()];
  },
};

function create(name, options, clients, say) {
  const client = new JobSphere(options);
  clients.set(name, client);
  for (const news of ['push', 'live', 'reload', 'end']) {
    client.on(news, (value) => say({ client: name, news, value }));
  }
}

async function call({ client: name, call: path, arguments: given = [] }, clients, say) {
  if (path[0] === 'new') return create(name, ...given, clients, say);
  if (MORE[path[0]]) return MORE[path[0]](clients.get(name), ...given);
  const owner = path.slice(0, -1).reduce((object, key) => object[key], clients.get(name));
  const found = owner[path.at(-1)];
  return typeof found === 'function' ? found.apply(owner, given) : found;
}

async function serve(connection) {
  const clients = new Map();
  const say = (line) => connection.writable && connection.write(`${JSON.stringify(line)}\n`);
  Date.now = now;
  connection.on('error', () => {}); // the test has ended
  for await (const line of createInterface({ input: connection })) {
    const asked = JSON.parse(line, (_key, value) => (value === 'Infinity' ? Infinity : value));
    call(asked, clients, say).then(
      (data) => say({ id: asked.id, data: data ?? null }),
      ({ code, message, details, stack }) =>
        say({ id: asked.id, refused: { code: code ?? stack, message, details: details ?? {} } }),
    );
  }
  for (const client of clients.values()) client.close();
}

createServer(serve).listen(process.argv[2], () => console.log('listening'));
process.stdin.on('end', () => process.exit()).resume();
