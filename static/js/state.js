// What the page knows: records by id, of which the highest version stays, and the small rest.

const kinds = ["jobs", "applications", "offers", "payments", "withdrawals", "transactions"];

function nothing() {
  return {
    user: null,
    registered: null, // {email, password} of an account whose mail has not been answered yet
    live: false,
    route: { name: "", params: [] },
    currency: "USD", // the wallet's main one
    busy: new Set(), // actions under way
    notices: [], // {id, kind, text, link}
    cursors: {}, // where "Show more" goes on, by list
    ...Object.fromEntries(kinds.map((kind) => [kind, new Map()])),
    heard: new Map(), // key -> the record as an event last had it, or as it was first read
    conversations: new Map(),
    messages: new Map(), // conversation id -> messages in order, without gaps
    revisions: new Map(), // conversation id -> the last change of them that is known
    pen: null, // what is being written besides a new message: {answering} or {changing}
    purses: new Map(), // by currency
    told: [], // what the person was told, newest first
    seen: 0, // how far in their feed
    bell: { open: false, since: 0 },
    browse: { filters: {}, ids: [] }, // the open jobs as last found
  };
}

export const state = nothing();

let render = () => {};
let waiting = false;
let numbers = 0;

export function onChange(listener) {
  render = listener;
}

/** The page is drawn once for all the changes of a moment. */
export function changed() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    render();
  });
}

/** Forget the person who was signed in; what they were told stays to be read. */
export function clear() {
  const { notices, route } = state;
  Object.assign(state, nothing(), { notices, route });
  changed();
}

/** Take a record over unless this or a newer version is known. */
export function put(kind, record, key = record.id) {
  const known = state[kind].get(key);
  if (known?.version >= record.version) return;
  if (!known) state.heard.set(key, record);
  state[kind].set(key, record);
  changed();
}

/**
 * Take over what an event says; returns what was heard before. What is news is measured against
 * that: a list may have been read between the event and its arrival.
 */
export function hear(kind, record, key = record.id) {
  const before = state.heard.get(key);
  put(kind, record, key);
  state.heard.set(key, record);
  return before;
}

/** Newer facts about the person who is signed in. */
export function putUser(user) {
  if (state.user && user.version >= state.user.version) state.user = user;
  changed();
}

/** A conversation: numbers only grow, whichever of two answers comes last. */
export function putConversation(found) {
  const known = state.conversations.get(found.id);
  const read = { ...found.read };
  for (const [user, seq] of Object.entries(known?.read ?? {})) {
    read[user] = Math.max(read[user] ?? 0, seq);
  }
  const newer = known && (known.last_message?.seq ?? 0) > (found.last_message?.seq ?? 0);
  const last_message = newer ? known.last_message : found.last_message;
  const head = Math.max(found.head, known?.head ?? 0);
  state.conversations.set(found.id, { ...found, read, last_message, head });
  changed();
}

export function unread(conversation) {
  return conversation.head - (conversation.read[state.user.id] ?? 0);
}

/** Newest first, those that fit. */
export function all(kind, fits = () => true) {
  const found = [...state[kind].values()].filter(fits);
  return found.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

/** Tell the person something; a refusal stays longer. `link` leads to what it is about. */
export function notify(text, { kind = "news", link = null } = {}) {
  numbers += 1;
  const id = `notice-${numbers}`;
  state.notices = [...state.notices.slice(-2), { id, kind, text, link }];
  setTimeout(() => dismiss(id), kind === "refusal" ? 12_000 : 7_000);
  changed();
}

export function dismiss(id) {
  state.notices = state.notices.filter((notice) => notice.id !== id);
  changed();
}
