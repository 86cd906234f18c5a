"""Wallets: balances, history, statements and withdrawals."""
