"""Retention and its report, backup, renaming, integrity. Never here: the removal of a champion,
bars or forecasts."""
