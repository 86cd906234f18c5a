"""The stores that `server dev` starts as child processes when no address is configured."""
