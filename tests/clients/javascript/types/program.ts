// What the types of the client allow and refuse; it is compiled and not run.

import { JobSphere, Refusal, type Job, type Offer } from "../../../../static/client/jobsphere.js";

const client = new JobSphere({ url: "http://127.0.0.1:8080", since: 7, patience: Infinity });

export async function program(): Promise<Job> {
  const { user, access_token } = await client.account.login({ email: "a@b.test", password: "p" });
  const role: "customer" | "contractor" | "admin" = user.role;
  client.adopt({ access_token, refresh_token: "", expires_at: "" });
  await client.connect({ namespaces: ["/account", "/job"] });
  const stop = client.bidding.on("offer.created", (offer, { seq }) => show(offer, seq));
  const message = await client.chat.next("message", ({ text }) => text === role);
  stop();
  const text: string = message.text;
  const later: string | null = message.edited_at;
  await client.files.upload({ file: new Blob([text]), name: later ?? "note" });
  const { blob }: { blob: Blob } = await client.wallet.statement_csv({ start: "", end: "" });
  client.on("reload", ({ head }) => show(null, head + blob.size));
  try {
    return await client.job.create(
      {
        title: "t", description: "d", category: "c", budget_min_amount: 1, budget_max_amount: 2,
        currency: "USD",
      },
      { requestId: "1", patience: 5_000 },
    );
  } catch (problem) {
    if (problem instanceof Refusal && problem.code === "email_unverified") throw problem;
    return client.job.get({ job_id: "job_1" });
  }
}

export function refused(): void {
  // @ts-expect-error - a field that is required
  void client.job.get({});
  // @ts-expect-error - an unknown field
  void client.job.get({ job_id: "job_1", colour: "red" });
  // @ts-expect-error - a text for a number
  void client.wallet.withdraw({ amount: "5" });
  // @ts-expect-error - an unknown push
  client.job.on("job.painted", () => {});
  // @ts-expect-error - an unknown command
  void client.job.paint({});
  client.wallet.on("wallet.updated", (wallet) => {
    // @ts-expect-error - an unknown field of an answer
    show(wallet.colour, null);
  });
}

declare function show(offer: Offer | null, seq: number | null): void;
