// The benchmark's peer on Node: Socket.IO on ws, written with care.
import { createServer } from "node:http";

import { Server } from "socket.io";

import { connectStores, serveCommands } from "./application.mjs";

const { mongo, adapter } = await connectStores();
const http = createServer((_request, response) => response.end("ready"));
const io = new Server(http, {
  adapter,
  transports: ["websocket"],
  perMessageDeflate: false, // costs more memory and CPU than it saves
  serveClient: false,
});
// As Socket.IO's documentation advises: free the handshake request of each connection.
io.engine.on("connection", (socket) => {
  socket.request = null;
});
serveCommands(io, mongo);
// For a fair memory reading: collect garbage first.
process.on("SIGUSR2", () => globalThis.gc?.());
http.listen(Number(process.env.PORT), "127.0.0.1");
