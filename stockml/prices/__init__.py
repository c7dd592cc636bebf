"""Bars and their checks, exchange calendars, revisions, split adjustment, the store, CSV. Never
here: network calls."""
