"""/admin: the market at a glance and live."""

from domain import backoffice, closing, commissions, letters, monitor, reconciliation, treasury
from domain.audit_trail import listing
from domain.chat import reports
from domain.disputes import chargebacks
from domain.disputes import operations as disputes
from handlers.expose import Namespace

admin = Namespace("/admin")

admin.expose(monitor.overview, http="GET /api/admin/overview")
admin.expose(monitor.live)
admin.expose(listing.audit_rows, http="GET /api/admin/audit")
admin.expose(disputes.all_disputes, http="GET /api/admin/disputes")
admin.expose(reports.conversation, http="GET /api/admin/disputes/{dispute_id}/conversation")
admin.expose(reports.reports, http="GET /api/admin/reports")
admin.expose(disputes.resolve, http="POST /api/admin/disputes/{dispute_id}/resolve")
admin.expose(chargebacks.evidence, http="POST /api/admin/chargebacks/{chargeback_id}/evidence")
admin.expose(treasury.transfers, http="GET /api/admin/transfers")
admin.expose(treasury.release, http="POST /api/admin/transfers/{transfer_id}/release")
admin.expose(treasury.refund, http="POST /api/admin/payments/{payment_id}/refund")
admin.expose(treasury.freeze, http="POST /api/admin/users/{user_id}/freeze")
admin.expose(treasury.unfreeze, http="POST /api/admin/users/{user_id}/unfreeze")
admin.expose(treasury.adjust, http="POST /api/admin/users/{user_id}/adjust")
admin.expose(backoffice.users, http="GET /api/admin/users")
admin.expose(backoffice.payments, http="GET /api/admin/payments")
admin.expose(backoffice.wallets, http="GET /api/admin/wallets")
admin.expose(backoffice.transactions, http="GET /api/admin/transactions")
admin.expose(commissions.commissions, http="GET /api/admin/commissions")
admin.expose(closing.ban, http="POST /api/admin/users/{user_id}/ban")
admin.expose(closing.unban, http="POST /api/admin/users/{user_id}/unban")
admin.expose(letters.dead_letters, http="GET /api/admin/dead_letters")
admin.expose(letters.retry, http="POST /api/admin/dead_letters/{row_id}/retry")
admin.expose(letters.discard, http="POST /api/admin/dead_letters/{row_id}/discard")
admin.expose(letters.webhook_events, http="GET /api/admin/webhook_events")
admin.expose(letters.replay, http="POST /api/admin/webhook_events/{event_id}/replay")
admin.expose(reconciliation.reconcile, http="POST /api/admin/reconcile")
admin.expose(reconciliation.reconciliations, http="GET /api/admin/reconciliations")
