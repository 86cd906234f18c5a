"""Disputes between the two sides of a deal, and chargebacks by the customer's bank.

Both freeze money and end by dividing it.
"""
