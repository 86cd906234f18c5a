"""Offers: create, counter, accept, reject, withdraw, expire. Their records are in `deals`."""
