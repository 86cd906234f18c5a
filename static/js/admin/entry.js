// The first module: the monitor comes beside the page, not after it.

const failed = () => {}; // the page says when it fails

if (location.pathname === "/admin") import("./monitor.js").catch(failed);
await import("./main.js");

export {};
