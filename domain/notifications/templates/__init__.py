"""Texts of notifications, one file for each subject. `catalog.py` maps events to templates."""
