// The contractor's wallet: what is there, how it came about, and taking it to the bank.

import { all, notify, put, state } from "./state.js";
import { amount, badge, button, choice, empty, field, form, more, section, when, words } from "./parts.js";
import { download, span } from "./download.js";
import { load, loadWallet } from "./lists.js";
import { major, minor } from "./money.js";
import { api } from "./api.js";
import { el } from "./dom.js";

const PARTS = [["available", "Available"], ["pending", "Pending"], ["in_transit", "On its way"]];
const KINDS = {
  accepted: "Platform fee, from the held money",
  completed: "Work completed",
  transfer_settled: "Became available",
  withdrawn: "Withdrawal",
  paid_out: "Arrived at your bank",
  payout_failed: "Withdrawal came back",
};

export const wallet = {
  load: () => Promise.all([loadWallet(), load("transactions"), load("withdrawals")]),
  view() {
    const purses = [...state.purses.values()].sort((a) => (a.currency === state.currency ? -1 : 1));
    const transactions = all("transactions");
    const withdrawals = all("withdrawals");
    return el(
      "div.columns", { "data-key": "wallet" },
      el(
        "div", {},
        section("Wallet", purses.map(purseTiles)),
        section("History", transactions.length > 0
          ? el("ol.lines.card", {}, transactions.map(transactionLine)) : empty("Nothing yet."),
          more("transactions")),
      ),
      el(
        "aside", {},
        section("Payouts", state.user.payouts_enabled ? withdrawForm(purses) : onboarding()),
        withdrawals.length > 0 && section("Withdrawals",
          el("ol.lines.card", {}, withdrawals.map(withdrawalLine)), more("withdrawals")),
        purses.length > 0 && section("Statement", statementForm(purses)),
      ),
    );
  },
};

function purseTiles(purse) {
  const shown = purse.debt ? [...PARTS, ["debt", "Owed"]] : PARTS;
  return el(
    "dl.tiles", { "data-key": purse.currency },
    shown.map(([name, label]) =>
      el("div.tile", { "data-part": name, "data-currency": purse.currency },
        el("dt", {}, label), el("dd", {}, amount(purse[name], purse.currency)))),
  );
}

function onboarding() {
  return el(
    "div.card.act", {},
    el("p", {}, "To be paid, tell Stripe who you are and where your bank account is."),
    button("Set up payouts", "onboard", "", "primary"),
  );
}

function withdrawForm(purses) {
  const codes = purses.map((purse) => [purse.currency, purse.currency]);
  const available = state.purses.get(state.currency)?.available ?? 0;
  return el(
    "div.card", {},
    form(
      "take_out", "", "Withdraw to the bank",
      field("Amount", "amount", {
        inputmode: "decimal", placeholder: major(available, state.currency),
      }),
      choice("Currency", "currency", codes),
    ),
  );
}

function statementForm(purses) {
  const { start } = span();
  const codes = purses.map((purse) => [purse.currency, purse.currency]);
  return el("div.card", {}, form(
    "save_statement", "", "Download as CSV",
    el("div.fields", {},
      field("From", "from", { type: "date", value: start.slice(0, 10) }),
      field("To", "to", { type: "date", value: new Date().toISOString().slice(0, 10) })),
    choice("Currency", "currency", codes, state.currency),
  ));
}

function saveStatement({ fields: { from, to, currency } }) {
  return download("/api/wallet/statement.csv", { ...span(from, to), currency });
}

async function takeOut({ fields, element }) {
  const { currency } = fields;
  const sent = await api.command("/wallet", "withdraw", {
    amount: minor(fields.amount, currency), currency,
  });
  put("withdrawals", sent);
  element.reset();
  notify("The money is on its way to your bank.");
}

async function onboard() {
  const { url } = await api.command("/account", "onboard");
  if (url) location.assign(url);
  else notify("Stripe is slow right now: try again in a moment.", { kind: "refusal" });
}

/** What the transaction moved in or out of one's own wallet, all parts together. */
function effect(transaction) {
  const own = (account) => account.startsWith(`wallet:${state.user.id}:`);
  return transaction.postings.reduce(
    (sum, { source, destination, amount: moved }) =>
      sum + (own(destination) ? moved : 0) - (own(source) ? moved : 0), 0);
}

function transactionLine(transaction) {
  const { currency, kind } = transaction;
  const sum = effect(transaction);
  const largest = Math.max(...transaction.postings.map((posting) => posting.amount));
  return el(
    "li", { "data-key": transaction.id },
    el("span", {}, KINDS[kind] ?? words(kind), el("small", {}, when(transaction.created_at))),
    sum === 0 ? el("span.amount.quiet", {}, amount(largest, currency))
      : el(sum > 0 ? "span.amount.plus" : "span.amount.minus", {}, sum > 0 ? "+" : "",
        amount(sum, currency)),
  );
}

function withdrawalLine(withdrawal) {
  const { currency, status, failure } = withdrawal;
  return el(
    "li", { "data-key": withdrawal.id },
    el("span", {}, badge(status), el("small", {}, when(withdrawal.created_at),
      failure ? ` · ${failure.replaceAll("_", " ")}` : null)),
    amount(withdrawal.amount, currency),
  );
}

export const walletActions = { onboard, take_out: takeOut, save_statement: saveStatement };
