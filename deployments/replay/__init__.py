"""Recorded prices over real HTTP, for a first look and for tests."""
