// Chat: messages numbered without gaps, history, typing.
import { createHmac } from "node:crypto";

import { ObjectId } from "mongodb";

import { envelope, notFound, shown } from "./wire.mjs";

const PREVIEW = 200;
const DUPLICATE = 11000;
const turns = new Map(); // conversation -> its last send: sends to one conversation run in turn

const userRooms = (members) => members.map((id) => `user:${id}`);

async function conversationOf(db, id, user) {
  const found = await db.collection("conversations").findOne({ _id: id, members: user.id });
  if (!found) throw notFound();
  return found;
}

export function send(fields, context) {
  const { conversation_id: id } = fields;
  const mine = (turns.get(id) ?? Promise.resolve()).then(() => write(fields, context));
  const done = mine.catch(() => {}).then(() => turns.get(id) === done && turns.delete(id));
  turns.set(id, done);
  return mine;
}

// The message is written first: a crash between the writes leaves an old preview, never a gap.
async function write({ conversation_id, text, client_id = null }, context) {
  const { db, namespace, user } = context;
  const conversation = await conversationOf(db, conversation_id, user);
  const message = await insert(db, conversation, { author_id: user.id, text, client_id });
  const { seq, created_at: at } = message;
  const moved = db.collection("conversations").updateOne(
    { _id: conversation_id, head: { $lt: seq } },
    {
      $set: {
        head: seq, active_at: at, updated_at: at, [`read.${user.id}`]: seq,
        last_message: { seq, author_id: user.id, text: text.slice(0, PREVIEW), at },
      },
      $inc: { version: 1 },
    },
  );
  await Promise.all([moved, record(message, context)]);
  const sent = shown(message);
  namespace.to(userRooms(conversation.members)).emit("message", envelope(sent, seq));
  return sent;
}

// Every write adds a sealed audit row: actor, operation, address. Chaining happens later.
function record(message, { db, socket, user, auditKey }) {
  const { _id: id, conversation_id, seq, client_id, created_at } = message;
  const row = {
    _id: `aud_${new ObjectId()}`, version: 1, created_at, updated_at: created_at,
    actor_id: user.id, role: user.role, session_id: user.session, operation: "chat.send",
    request_id: null, address: socket.handshake.address, subjects: [id, conversation_id],
    detail: JSON.stringify({
      fields: { conversation_id, client_id },
      changes: [{ collection: "messages", id, version: 1, before: null, after: { seq } }],
    }),
  };
  row.seal = createHmac("sha256", auditKey).update(JSON.stringify(row)).digest("base64url");
  return db.collection("audit_of_peer").insertOne(row);
}

// The unique index on (conversation_id, seq) refuses a number that another process took.
async function insert(db, conversation, fields) {
  const messages = db.collection("messages");
  const now = new Date();
  for (let seq = conversation.head + 1; ; ) {
    const message = {
      _id: `msg_${new ObjectId()}`, version: 1, created_at: now, updated_at: now,
      conversation_id: conversation._id, seq, ...fields,
    };
    try {
      await messages.insertOne(message);
      return message;
    } catch (failed) {
      if (failed.code !== DUPLICATE) throw failed;
      const [last] = await messages
        .find({ conversation_id: conversation._id }).sort({ seq: -1 }).limit(1).toArray();
      seq = last.seq + 1;
    }
  }
}

export async function history({ conversation_id, before_seq, after_seq, limit = 50 }, { db, user }) {
  const conversation = await conversationOf(db, conversation_id, user);
  const seq = { $gt: after_seq ?? 0, ...(before_seq ? { $lt: before_seq } : {}) };
  const forward = after_seq !== undefined;
  const items = await db.collection("messages")
    .find({ conversation_id, seq }).sort({ seq: forward ? 1 : -1 }).limit(limit).toArray();
  if (!forward) items.reverse();
  return { items: items.map(shown), head: Math.max(conversation.head, items.at(-1)?.seq ?? 0) };
}

// No write. Membership is read once and cached with the socket.
export async function typing({ conversation_id, typing: on }, { db, namespace, socket, user }) {
  socket.data.others ??= new Map();
  let others = socket.data.others.get(conversation_id);
  if (!others) {
    const { members } = await conversationOf(db, conversation_id, user);
    others = userRooms(members.filter((id) => id !== user.id));
    socket.data.others.set(conversation_id, others);
  }
  const event = { conversation_id, user_id: user.id, typing: on };
  namespace.to(others).emit("typing", envelope(event));
  return event;
}
