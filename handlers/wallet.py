"""/wallet: balances, history and withdrawals."""

from domain import statements, wallets
from handlers.expose import Namespace

wallet = Namespace("/wallet")

wallet.expose(wallets.balance, http="GET /api/wallet")
wallet.expose(wallets.history, http="GET /api/wallet/transactions")
wallet.expose(statements.statement, http="GET /api/wallet/statement")
wallet.expose(wallets.withdraw, http="POST /api/wallet/withdrawals")
wallet.expose(wallets.withdrawals, http="GET /api/wallet/withdrawals")
