// What the platform earned, gave back and paid, by day or month, and as a file.

import { amount, button, choice, empty, field, form, section } from "../parts.js";
import { download, span } from "../download.js";
import { changed } from "../state.js";
import { api } from "../api.js";
import { el } from "../dom.js";

const COLUMNS = [
  ["platform_fee_amount", "Platform fees"], ["service_fee_amount", "Service fees"],
  ["refunded_amount", "Given back"], ["stripe_fee_amount", "Stripe"],
  ["chargeback_amount", "Chargebacks"], ["chargeback_fee_amount", "Chargeback fees"],
  ["other_amount", "Other"], ["net_amount", "Net"],
];
const BUCKETS = [["day", "By day"], ["month", "By month"]];

let report = null;
let asked = { ...span(), bucket: "day" };

async function read() {
  const question = asked;
  const found = await api.command("/admin", "commissions", question);
  if (question === asked) report = found;
  changed();
}

function line(row) {
  return el(
    "tr", { "data-key": `${row.period}-${row.currency}` }, el("th", { scope: "row" }, row.period),
    COLUMNS.map(([name]) => el("td", {}, row[name] ? amount(row[name], row.currency) : "–")),
  );
}

function table({ lines, totals }) {
  const shown = totals.filter((each) => each.opening_amount || each.net_amount);
  return [
    lines.length > 0
      ? el("div.card.wide", { tabindex: "0", role: "region", "aria-label": "Commissions" }, el(
        "table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Period"),
          COLUMNS.map(([, label]) => el("th", { scope: "col" }, label)))),
        el("tbody", {}, lines.map(line)),
      ))
      : empty("Nothing in this time."),
    shown.length > 0 && el("dl.tiles", {}, shown.map((each) => el(
      "div.tile.money", { "data-key": each.currency },
      el("dt", {}, `Balance in ${each.currency}, before and after`),
      el("dd", {}, amount(each.opening_amount, each.currency), amount(each.closing_amount, each.currency)),
    ))),
    el("div.actions", {}, button("Download as CSV", "save_commissions")),
  ];
}

export const commissions = {
  name: "commissions",
  label: "Commissions",
  load: read,
  forget() {
    report = null;
  },
  view: () => section(
    "Commissions",
    el("div.search.card", {}, form(
      "find_commissions", "", "Show",
      field("From", "from", { type: "date", value: asked.start.slice(0, 10) }),
      field("To", "to", { type: "date", value: new Date(Date.parse(asked.end) - 1).toISOString().slice(0, 10) }),
      choice("Lines", "bucket", BUCKETS, asked.bucket),
    )),
    report ? table(report) : empty("Loading…"),
  ),
  actions: {
    find_commissions({ fields }) {
      asked = { ...span(fields.from, fields.to), bucket: fields.bucket };
      return read();
    },
    save_commissions: () => download("/api/admin/commissions.csv", asked),
  },
};
