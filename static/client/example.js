// A whole job, from posting to payout: node example.js [URL of a server started by `make run`]

import { JobSphere, Refusal } from "jobsphere-client";

const url = process.argv[2] ?? "http://127.0.0.1:8080";
const amount = 100_000; // 1,000.00 USD: amounts are in minor units

/** @param {"customer" | "contractor"} role */
async function join(role) {
  const client = new JobSphere({ url });
  const email = `${role}-${crypto.randomUUID()}@example.com`;
  await client.account.register({ email, password: "seven blue fences", name: `A ${role}`, role });
  await client.connect();
  return client;
}

const [customer, contractor] = await Promise.all([join("customer"), join("contractor")]);
for (const [side, client] of Object.entries({ customer, contractor })) {
  client.on("push", ({ name, seq }) => console.log(`${side} < ${name}`, seq ?? ""));
}

// The contractor's account for payouts: Stripe's page, which the dev server plays as a form.
const payable = contractor.account.next("account.updated", (user) => user.payouts_enabled);
const { url: page } = await contractor.account.onboard({});
if (!page) throw new Error("Stripe did not answer in time: onboard again.");
const bank = { name: "A contractor", bank_account: "000123456789", currencies: "usd" };
await fetch(page, { method: "POST", body: new URLSearchParams(bank), redirect: "manual" });
await payable;

// Every contractor sees an open job at once.
const posted = contractor.job.next("job.updated", (job) => job.title === "Paint the fence");
const { id: job_id } = await customer.job.create({
  title: "Paint the fence", description: "Twelve metres of wood, two coats.", category: "painting",
  budget_min_amount: amount / 2, budget_max_amount: amount, currency: "USD",
});
await posted;

// Being shortlisted opens the chat.
const application = await contractor.jobRequest.apply({
  job_id, cover_letter: "A hundred fences.", proposed_amount: amount, timeline_days: 5,
});
await customer.jobRequest.accept({ application_id: application.id });
const contractor_id = application.contractor_id;
const { id: conversation_id } = await customer.chat.open({ job_id, user_id: contractor_id });
const heard = contractor.chat.next("message", (message) => message.text === "Monday?");
await customer.chat.send({ conversation_id, text: "Monday?" });
await contractor.chat.read({ conversation_id, seq: (await heard).seq });

// The offer holds the money on a card; accepting it captures the money.
const offered = contractor.bidding.next("offer.created", (offer) => offer.job_id === job_id);
await customer.bidding.create({
  job_id, contractor_id, amount, currency: "USD", description: "As discussed.", timeline_days: 5,
  payment_method: "pm_card_visa",
});
const { id: offer_id } = await offered;
const accepted = contractor.bidding.next("offer.accepted", (offer) => offer.id === offer_id);
await contractor.bidding.accept({ offer_id });
await accepted;

// The work, and the split: 30 % to the platform, 70 % to the contractor.
await contractor.job.start({ job_id });
await contractor.job.deliver({ job_id, note: "Two coats." });
const earned = contractor.wallet.next("wallet.updated", (wallet) => wallet.available > 0);
const { split } = await customer.job.complete({ job_id });
console.log("split:", split);

// The contractor takes the money out.
const paid = contractor.wallet.next("withdrawal.updated", ({ status }) => status === "paid");
await contractor.wallet.withdraw({ amount: (await earned).available });
console.log("paid out:", (await paid).amount);

// A refusal has a code for programs.
const refused = await customer.job.cancel({ job_id }).catch((problem) => problem);
console.log("refused:", refused instanceof Refusal && refused.code);
for (const client of [customer, contractor]) client.close();
