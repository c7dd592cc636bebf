"""stockml: retrain stock-price LSTMs every night, and be able to trust them.

The library works from a notebook: it never imports prefect, `tasks` or `flows`, and importing it does nothing.
"""
