"""The list of tickers, their Prefect deployments, and the automations that notify people."""

POOL = "stockml"  # the work pool of all deployments and of `stockml up`'s worker
# tags of the deployments made here, by which automations match runs: all, those of a ticker's
# nights, the others
MANAGED, NIGHTS, OTHERS = "tickers.yaml", "nights", "several tickers"
