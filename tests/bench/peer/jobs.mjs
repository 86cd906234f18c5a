// Jobs: watching and changing one.
import { envelope, notFound, shown } from "./wire.mjs";

const PRIVATE = { accepting_offer_id: 0, category_key: 0, skill_keys: 0, point: 0 };
const CHANGEABLE = ["title", "description"];

const room = (id) => `job:${id}`;

export async function watch({ job_id }, { db, socket }) {
  const found = await db.collection("jobs").findOne({ _id: job_id }, { projection: PRIVATE });
  if (!found) throw notFound();
  socket.join(room(job_id));
  return shown(found);
}

export async function unwatch({ job_id }, { socket }) {
  socket.leave(room(job_id));
  return { job_id };
}

export async function update({ job_id, ...fields }, { db, namespace, user }) {
  const changes = Object.fromEntries(
    Object.entries(fields).filter(([name]) => CHANGEABLE.includes(name)),
  );
  const changed = await db.collection("jobs").findOneAndUpdate(
    { _id: job_id, customer_id: user.id, status: "open" },
    { $set: { ...changes, updated_at: new Date() }, $inc: { version: 1 } },
    { returnDocument: "after", projection: PRIVATE },
  );
  if (!changed) throw notFound();
  // One broadcast: Socket.IO encodes it once and sends it once to members of both rooms.
  namespace.to([room(job_id), `user:${user.id}`]).emit("job.updated", envelope(shown(changed)));
  return shown(changed);
}
