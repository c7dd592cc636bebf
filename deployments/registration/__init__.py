"""Tickers, their deployments, and who is told of what."""

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
# tags of the deployments made here, whose runs are told of: of all, of those that do a ticker's nights, of the others
MANAGED, NIGHTS, OTHERS = "tickers.yaml", "nights", "several tickers"
