// The benchmark's peer as an application: the measured commands, the same on Node and on Bun.
import { createHmac, timingSafeEqual } from "node:crypto";

import { createAdapter } from "@socket.io/redis-adapter";
import { MongoClient } from "mongodb";
import { createClient } from "redis";

import * as chat from "./chat.mjs";
import * as jobs from "./jobs.mjs";

const { MONGO_URL, REDIS_URL, JWT_KEYS, AUDIT_KEY } = process.env;
const AUDIENCE = "jobsphere-clients";
const COMMANDS = {
  "/account": {},
  "/chat": { send: chat.send, history: chat.history, typing: chat.typing },
  "/job": { update: jobs.update, watch: jobs.watch, unwatch: jobs.unwatch },
};

const named = (list) => Object.fromEntries(
  list.split(",").map((key) => [
    key.split(":")[0], Buffer.from(key.slice(key.indexOf(":") + 1), "base64"),
  ]),
);
const keys = named(JWT_KEYS);
const [auditKey] = Object.values(named(AUDIT_KEY));

// HS256 by hand is ten lines and faster than the usual package.
function verify(token) {
  const [header, claims, signature] = String(token).split(".");
  const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
  const { alg, kid } = read(header);
  const secret = alg === "HS256" && keys[kid];
  if (!secret) throw new Error("unknown key");
  const right = createHmac("sha256", secret).update(`${header}.${claims}`).digest();
  if (!timingSafeEqual(right, Buffer.from(signature, "base64url"))) throw new Error("forged");
  const { sub, role, sid, exp, aud } = read(claims);
  if (aud !== AUDIENCE || exp * 1000 < Date.now()) throw new Error("expired");
  return { id: sub, role, session: sid };
}

function admit(socket, next) {
  try {
    socket.data.user = verify(socket.handshake.auth.token);
    socket.join(`user:${socket.data.user.id}`);
    next();
  } catch {
    next(Object.assign(new Error("unauthenticated"), { data: { code: "unauthenticated" } }));
  }
}

// One wrapper acknowledges every command, also after an exception.
function answering(command, context) {
  return async (fields, ack) => {
    try {
      ack({ ok: true, data: await command(fields ?? {}, context) });
    } catch (failed) {
      const code = failed.code === "not_found" ? failed.code : "internal";
      if (code === "internal") console.error(failed);
      ack({ ok: false, error: { code, message: failed.message, details: {} } });
    }
  };
}

/** Stores, and an adapter that fans out to other processes as in production. */
export async function connectStores() {
  const mongo = new MongoClient(MONGO_URL, {
    maxPoolSize: 50, // the same as our server
    writeConcern: { w: "majority", journal: true },
  });
  await mongo.connect();
  const publishing = createClient({ url: REDIS_URL });
  const subscribed = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribed.connect()]);
  return { mongo, adapter: createAdapter(publishing, subscribed) };
}

export function serveCommands(io, mongo) {
  for (const [name, commands] of Object.entries(COMMANDS)) {
    const namespace = io.of(name);
    namespace.use(admit);
    namespace.on("connection", (socket) => {
      const context = { db: mongo.db(), namespace, socket, user: socket.data.user, auditKey };
      for (const [event, command] of Object.entries(commands)) {
        socket.on(event, answering(command, context));
      }
    });
  }
}
