"""The texts of notifications, a file for each subject. `catalog.py` maps events to them."""
