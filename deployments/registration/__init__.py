"""Tickers, their deployments, and who is told of what."""

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
COMMAND_LINE = "command line"  # the work queue of the runs that a command shows with a deployment: they alert nobody
