"""Retention and what a clean-up reports. Never here: champions."""
