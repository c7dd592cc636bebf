"""Tickers, their deployments, and who is told of what."""

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
