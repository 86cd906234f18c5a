// What administrators look through, beside the live monitor: one entry for each section.
// A section is {name, label, load(), forget(), view(), actions}; `listing` makes one of a list.

import { commissions } from "./commissions.js";
import { payments } from "./payments.js";
import { transactions } from "./transactions.js";
import { users } from "./users.js";

export const SECTIONS = [users, payments, transactions, commissions];
