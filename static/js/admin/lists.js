// The lists of the back office: how each is read, what it can be filtered by, what a row shows.

import { MONEY_LISTS } from "./money_lists.js";
import { WORK_LISTS } from "./work_lists.js";

/**
 * @typedef {object} Filter
 * @property {string} name of the command's field and of the query
 * @property {string} label
 * @property {string[]} [choices] a text without them
 * @property {"date"} [type] a day
 * @property {boolean} [more] among those that are shown on request
 */

/**
 * @typedef {object} List
 * @property {string} title
 * @property {(fields: any) => Promise<{items: any[], next_cursor: string | null}>} read
 * @property {Filter[]} filters
 * @property {[string, (row: any, load: () => void) => any][]} columns heading and content; `load` reads the list again
 * @property {any} [head] a component above the list
 * @property {(load: () => void) => any} [actions] beside the title
 * @property {(load: () => void) => (() => void)[]} [follow] pushes after which it is read again
 * @property {boolean} [assigned] whether administrators look after its rows
 */

/** @type {Record<string, List>} */
export const LISTS = { ...WORK_LISTS, ...MONEY_LISTS };
