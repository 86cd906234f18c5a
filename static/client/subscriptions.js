// What the server forgets with a connection is asked for again on the next one.

const MOST = 100; // conversations in one `presence`

/** The pushes that stand for what changed while the connection was lost. */
const NEWS = {
  "job.watch": ({ job, viewers }) => [
    ["job.updated", job], ["job.viewers", { job_id: job.id, viewers }],
  ],
  "chat.presence": ({ items }) => items.map((seen) => ["presence", seen]),
  "admin.live": (stats) => [["stats", stats]],
};

export class Subscriptions {
  #jobs = new Set();
  #conversations = new Set();
  #monitor = false;

  /** A command succeeded. */
  note(name, fields) {
    if (name === "job.watch") this.#jobs.add(fields.job_id);
    if (name === "job.unwatch") this.#jobs.delete(fields.job_id);
    if (name === "chat.presence") {
      for (const id of fields.conversation_ids) this.#conversations.add(id);
    }
    if (name === "admin.live") this.#monitor = true;
  }

  /** The server ended a subscription. */
  pushed(name, data) {
    if (name === "job.closed") this.#jobs.delete(data.job_id);
  }

  /**
   * `run(name, fields)` asks the server; `deliver(namespace, name, data)` takes the news. What is
   * not the user's to see any more is forgotten.
   */
  async restore(run, deliver) {
    const ask = async (name, fields, forget) => {
      try {
        const namespace = `/${name.split(".")[0]}`;
        for (const [push, data] of NEWS[name](await run(name, fields))) {
          deliver(namespace, push, data);
        }
      } catch (refused) {
        if (refused.code === "not_found") forget();
      }
    };
    const all = [...this.#jobs].map((job_id) =>
      ask("job.watch", { job_id }, () => this.#jobs.delete(job_id)));
    const ids = [...this.#conversations];
    for (let first = 0; first < ids.length; first += MOST) {
      const conversation_ids = ids.slice(first, first + MOST);
      all.push(ask("chat.presence", { conversation_ids }, () => this.#conversations.clear()));
    }
    if (this.#monitor) all.push(ask("admin.live", {}, () => {}));
    await Promise.all(all);
  }
}
