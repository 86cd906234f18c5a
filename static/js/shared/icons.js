// The icons that the pages use, by their names in Lucide (https://lucide.dev).

export const ICONS = /** @type {const} */ ([
  "archive", "arrow-down", "arrow-left", "arrow-right", "arrow-up", "badge-check", "ban", "banknote", "bell", "bell-dot",
  "bookmark", "briefcase", "building-2", "calendar", "check", "check-check", "chevron-down",
  "chevron-left", "chevron-right", "chevron-up", "circle", "circle-alert", "circle-check",
  "circle-dot", "circle-help", "circle-x", "clock", "copy", "credit-card", "download", "ellipsis",
  "external-link", "eye", "eye-off", "file", "file-text", "filter", "fingerprint", "flag",
  "gauge", "hand-coins", "handshake", "history", "hourglass", "house", "image", "inbox", "info",
  "key-round", "landmark", "layers", "list", "list-checks", "loader-circle", "locate", "lock", "log-in",
  "log-out", "mail", "map-pin", "menu", "message-circle", "messages-square", "monitor", "moon", "paperclip",
  "pencil", "percent", "plug", "plus", "receipt", "refresh-cw", "reply", "rotate-ccw", "scale",
  "search", "send", "settings", "shield", "shield-alert", "shield-check", "sliders-horizontal",
  "smartphone", "smile", "snowflake", "sun", "tag", "trash-2", "triangle-alert", "undo-2",
  "upload", "user", "user-check", "user-plus", "users", "wallet", "webhook", "wifi-off", "x", "zap",
]);

/** @typedef {typeof ICONS[number]} IconName */
