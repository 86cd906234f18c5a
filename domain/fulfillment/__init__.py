"""The work after an accepted offer: start, deliver, complete by milestones, or cancel."""
