"""The pages: what needs no browser. Their views are tested in tests/stories/browser."""
