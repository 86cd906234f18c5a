// What bundlers take instead of socket.js, see `browser` in package.json.

export { Manager } from "socket.io-client";
