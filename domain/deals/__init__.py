"""The records of a deal, an offer and its payment, with their state machines. Bidding and payments
build on them."""
