"""Tickers, their deployments, and who is told of what."""

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
MANAGED = "tickers.yaml"  # the tag of the deployments made here; the runs of these are told of
