"""Publish and subscribe between processes over Redis: rooms, session events, connections."""
