// Clients that reconnect when their server restarts: some by websocket, some by polling.
//
//   node stay.mjs URL TOKEN
//
// Prints `ready` when all are connected, those that may upgrade by websocket; after all have
// reconnected, prints what each saw as JSON.
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
  const upgraded = () => socket.io.engine.transport.name === transports.at(-1);
  return {
    socket, reasons, lost: () => reasons.length > 0, connected: () => socket.connected && upgraded(),
  };
}

const clients = [...WAYS, ...WAYS].map(stay);
const all = async (is) => {
  while (!clients.every(is)) await sleep(10);
};

await all(({ connected }) => connected());
console.log('ready');
await all(({ lost, connected }) => lost() && connected());
const summaries = clients.map(async ({ socket, reasons }) => {
  const { data } = await socket.timeout(10_000).emitWithAck('sync', { since: 0 });
  return { reasons, seqs: data.items.map(({ seq }) => seq) };
});
console.log(JSON.stringify(await Promise.all(summaries)));
process.exit(0);
