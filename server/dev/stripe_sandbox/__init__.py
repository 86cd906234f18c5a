"""A stateful local implementation of the part of Stripe's HTTP API that JobSphere calls.

It answers the real SDK, keeps its own balances, sends signed webhooks, and injects faults.
"""
