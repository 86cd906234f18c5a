"""The tamper-evident audit trail: its hash chain, its verification and its list. The rows
themselves are written by `operations/audit_log.py`."""
