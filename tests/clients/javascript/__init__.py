"""The JavaScript client in Node and in the browser."""
