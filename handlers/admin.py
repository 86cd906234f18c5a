"""/admin: dashboard, disputes, money, users, dead letters, Stripe events and reconciliation."""

from domain.admin import (
    activity,
    alerts,
    approval,
    approvals,
    assignments,
    bans,
    commissions,
    corrections,
    dead_letters,
    differences,
    dispute_decisions,
    escrow,
    find,
    foreign_lines,
    fraud,
    jobs,
    lists,
    moderation,
    offers,
    ownerless,
    ownerless_actions,
    payment_details,
    refund_decisions,
    sessions,
    stranded_money,
    user_details,
    wallet_actions,
)
from domain.admin import (
    chargebacks as seen_chargebacks,
)
from domain.audit_trail import chain_state, listing
from domain.disputes import chargebacks
from domain.disputes import operations as disputes
from domain.monitor import dashboard, processes, series
from domain.notifications.alerts import ALERT, ALERT_UPDATED
from domain.reconciliation import runs
from domain.stripe_events import replay
from handlers.expose import Namespace

admin = Namespace("/admin")

admin.expose(dashboard.overview, http="GET /api/admin/overview")
admin.expose(dashboard.live)
admin.expose(activity.activity, http="GET /api/admin/activity")
admin.expose(alerts.alerts, http="GET /api/admin/alerts")
admin.expose(alerts.alert_close, http="POST /api/admin/alerts/{alert_id}/close")
admin.expose(assignments.assign, http="POST /api/admin/assign")
admin.expose(assignments.assignments, http="GET /api/admin/assignments")
admin.expose(series.series, http="GET /api/admin/series")
admin.expose(processes.processes, http="GET /api/admin/processes")
admin.expose(listing.audit_rows, http="GET /api/admin/audit")
admin.expose(chain_state.audit_chain, http="GET /api/admin/audit/chain")
admin.expose(chain_state.audit_verify, http="POST /api/admin/audit/verify")
admin.expose(disputes.list_all_disputes, http="GET /api/admin/disputes")
admin.expose(moderation.read_conversation, http="GET /api/admin/disputes/{dispute_id}/conversation")
admin.expose(moderation.list_reports, http="GET /api/admin/reports")
admin.expose(moderation.report_decide, http="POST /api/admin/reports/{report_id}/decide")
admin.expose(dispute_decisions.resolve, http="POST /api/admin/disputes/{dispute_id}/resolve")
admin.expose(seen_chargebacks.chargeback, http="GET /api/admin/chargebacks/{chargeback_id}")
admin.expose(chargebacks.evidence, http="POST /api/admin/chargebacks/{chargeback_id}/evidence")
admin.expose(wallet_actions.transfers, http="GET /api/admin/transfers")
admin.expose(wallet_actions.release, http="POST /api/admin/transfers/{transfer_id}/release")
admin.expose(wallet_actions.refund, http="POST /api/admin/payments/{payment_id}/refund")
admin.expose(fraud.clear_fraud, http="POST /api/admin/payments/{payment_id}/fraud_clear")
admin.expose(
    refund_decisions.decide_refund,
    http="POST /api/admin/payments/{payment_id}/refunds/{refund_id}/decide",
)
admin.expose(wallet_actions.freeze, http="POST /api/admin/users/{user_id}/freeze")
admin.expose(wallet_actions.unfreeze, http="POST /api/admin/users/{user_id}/unfreeze")
admin.expose(wallet_actions.adjust, http="POST /api/admin/users/{user_id}/adjust")
admin.expose(stranded_money.stranded_settle, http="POST /api/admin/users/{user_id}/stranded_settle")
admin.expose(ownerless_actions.pay_out, http="POST /api/admin/users/{user_id}/pay_out")
admin.expose(ownerless_actions.write_off, http="POST /api/admin/users/{user_id}/write_off")
admin.expose(ownerless_actions.hold, http="POST /api/admin/ownerless/{ownerless_id}/hold")
admin.expose(foreign_lines.foreign_lines, http="GET /api/admin/foreign_lines")
admin.expose(foreign_lines.line_assign, http="POST /api/admin/foreign_lines/{line_id}/assign")
admin.expose(corrections.correct, http="POST /api/admin/differences/{difference_id}/correct")
admin.expose(stranded_money.withdrawal_end, http="POST /api/admin/withdrawals/{withdrawal_id}/end")
admin.expose(approvals.list_, http="GET /api/admin/approvals")
admin.expose(approvals.approve, http="POST /api/admin/approvals/{approval_id}/approve")
admin.expose(approvals.decline, http="POST /api/admin/approvals/{approval_id}/decline")
admin.expose(find.find, http="GET /api/admin/find")
admin.expose(find.names, http="GET /api/admin/names")
admin.expose(lists.users, http="GET /api/admin/users")
admin.expose(user_details.user_details, http="GET /api/admin/users/{user_id}")
admin.expose(jobs.jobs, http="GET /api/admin/jobs")
admin.expose(offers.offers, http="GET /api/admin/offers")
admin.expose(offers.offer, http="GET /api/admin/offers/{offer_id}")
admin.expose(lists.payments, http="GET /api/admin/payments")
admin.expose(payment_details.payment_details, http="GET /api/admin/payments/{payment_id}")
admin.expose(lists.wallets, http="GET /api/admin/wallets")
admin.expose(escrow.escrow, http="GET /api/admin/escrow")
admin.expose(lists.withdrawals, http="GET /api/admin/withdrawals")
admin.expose(lists.transactions, http="GET /api/admin/transactions")
admin.expose(commissions.commissions, http="GET /api/admin/commissions")
admin.expose(bans.ban, http="POST /api/admin/users/{user_id}/ban")
admin.expose(bans.unban, http="POST /api/admin/users/{user_id}/unban")
admin.expose(sessions.sessions, http="GET /api/admin/users/{user_id}/sessions")
admin.expose(sessions.session_end, http="POST /api/admin/users/{user_id}/sessions/end")
admin.expose(dead_letters.list_dead_letters, http="GET /api/admin/dead_letters")
admin.expose(dead_letters.retry, http="POST /api/admin/dead_letters/{row_id}/retry")
admin.expose(dead_letters.discard, http="POST /api/admin/dead_letters/{row_id}/discard")
admin.expose(replay.list_events, http="GET /api/admin/webhook_events")
admin.expose(replay.get_event, http="GET /api/admin/webhook_events/{event_id}")
admin.expose(replay.replay_event, http="POST /api/admin/webhook_events/{event_id}/replay")
admin.expose(runs.reconcile, http="POST /api/admin/reconcile")
admin.expose(runs.reconciliations, http="GET /api/admin/reconciliations")
admin.expose(runs.reconciliation, http="GET /api/admin/reconciliations/{reconciliation_id}")
admin.expose(ownerless.ownerless, http="GET /api/admin/ownerless")
admin.expose(differences.differences, http="GET /api/admin/differences")
admin.expose(differences.difference_close, http="POST /api/admin/differences/{difference_id}/close")

admin.pushes = (
    dashboard.STATS,
    series.SERIES,
    activity.ACTIVITY,
    ALERT,
    ALERT_UPDATED,
    assignments.UPDATED,
    approval.UPDATED,
    chain_state.CHECKED,
    runs.UPDATED,
)
