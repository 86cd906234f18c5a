// The benchmark's peer on Bun: Socket.IO on Bun's own websockets, which are uWebSockets in C++.
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";

import { connectStores, serveCommands } from "./application.mjs";

const { mongo, adapter } = await connectStores();
const io = new Server({ adapter, serveClient: false });
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
serveCommands(io, mongo);
// For a fair memory reading: collect garbage first.
process.on("SIGUSR2", () => Bun.gc(true));
Bun.serve({
  ...engine.handler(),
  hostname: "127.0.0.1",
  port: Number(process.env.PORT),
  fetch: (request, server) => (
    request.url.includes("/socket.io/") ? engine.handleRequest(request, server) : new Response("ready")
  ),
});
