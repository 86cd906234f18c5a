"""The gateway against the sandbox: what it asks of Stripe, and how it reads what Stripe answers.

Guards are those of server/stripe_gateway.py and server/stripe_shapes.py.
"""
