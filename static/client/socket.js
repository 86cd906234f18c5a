// The official Socket.IO client: the package in Node, the server's own copy in a browser.

const inNode = Boolean(globalThis.process?.versions?.node);
const found = await import(inNode ? "socket.io-client" : "../vendor/socket.io.esm.min.js");

export const { Manager } = found;
