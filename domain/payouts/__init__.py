"""Money to contractors: transfers, reversals, allocation of what they hold, and their Stripe
accounts."""
