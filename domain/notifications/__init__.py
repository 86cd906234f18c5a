"""What users and administrators are notified of: the numbered feed, notices, alerts and mail."""
