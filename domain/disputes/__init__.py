"""Disputes between the two sides of a deal, and chargebacks of the card bank. Both end in a
division of the money."""
