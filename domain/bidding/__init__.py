"""Offers: create, counter, accept, reject, withdraw, expire. Their records live beneath, in
`deals`."""
