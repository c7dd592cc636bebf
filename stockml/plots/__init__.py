"""Figures. Never here: decisions."""
