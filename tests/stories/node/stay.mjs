// Clients that reconnect when their server restarts: some by websocket, some by polling.
//
//   node stay.mjs URL TOKEN
//
// Prints `ready`; after all have reconnected, prints what each saw as JSON.
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';

const [url, token] = process.argv.slice(2);
const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];

function stay(transports) {
  const socket = io(`${url}/account`, {
    transports, auth: { token }, forceNew: true,
    reconnectionDelay: 50, reconnectionDelayMax: 200,
  });
  const reasons = [];
  socket.on('disconnect', (reason) => reasons.push(reason));
  return { socket, reasons, lost: () => reasons.length > 0 };
}

const clients = [...WAYS, ...WAYS].map(stay);
const all = async (is) => {
  while (!clients.every(is)) await sleep(10);
};

await all(({ socket }) => socket.connected);
console.log('ready');
await all(({ socket, lost }) => lost() && socket.connected);
const summaries = clients.map(async ({ socket, reasons }) => {
  const { data } = await socket.timeout(10_000).emitWithAck('sync', { since: 0 });
  return { reasons, seqs: data.items.map(({ seq }) => seq) };
});
console.log(JSON.stringify(await Promise.all(summaries)));
process.exit(0);
