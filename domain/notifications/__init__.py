"""Notifications to users and administrators: the numbered feed, notices, alerts and mail."""
