"""Tests of `server/dev`."""
