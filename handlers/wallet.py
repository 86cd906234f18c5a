"""/wallet: balances, history and withdrawals."""

from domain.home import waiting_money
from domain.ledger.booking import WALLET_UPDATED
from domain.wallet import balance, by_job, statements, withdrawals
from handlers.expose import Namespace

wallet = Namespace("/wallet")

wallet.expose(balance.balance, http="GET /api/wallet")
wallet.expose(balance.history, http="GET /api/wallet/transactions")
wallet.expose(by_job.by_job, http="GET /api/wallet/jobs")
wallet.expose(waiting_money.waiting, http="GET /api/wallet/waiting")
wallet.expose(statements.statement, http="GET /api/wallet/statement")
wallet.expose(withdrawals.withdraw, http="POST /api/wallet/withdrawals")
wallet.expose(withdrawals.withdrawals, http="GET /api/wallet/withdrawals")
wallet.expose(withdrawals.withdrawal, http="GET /api/wallet/withdrawals/{withdrawal_id}")

wallet.pushes = (WALLET_UPDATED, withdrawals.WITHDRAWAL_UPDATED)
