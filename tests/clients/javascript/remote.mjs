// Clients that a test controls: each line of stdin is a call, each line of stdout an answer or news.
//
//   {"id": 1, "client": "a", "call": ["job", "create"], "arguments": [{...}]}
//
// `call` is a path below the client; `new` makes it.
import { createInterface } from 'node:readline';
import { JobSphere } from '../../../static/client/jobsphere.js';

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

const clients = new Map();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function create(name, options) {
  const client = new JobSphere(options);
  clients.set(name, client);
  for (const news of ['push', 'live', 'reload', 'end']) {
    client.on(news, (value) => say({ client: name, news, value }));
  }
}

async function call({ client: name, call: path, arguments: given = [] }) {
  if (path[0] === 'new') return create(name, ...given);
  if (MORE[path[0]]) return MORE[path[0]](clients.get(name), ...given);
  const owner = path.slice(0, -1).reduce((object, key) => object[key], clients.get(name));
  const found = owner[path.at(-1)];
  return typeof found === 'function' ? found.apply(owner, given) : found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line, (_key, value) => (value === 'Infinity' ? Infinity : value));
  call(asked).then(
    (data) => say({ id: asked.id, data: data ?? null }),
    ({ code, message, details, stack }) =>
      say({ id: asked.id, refused: { code: code ?? stack, message, details: details ?? {} } }),
  );
}
