"""Tickers, their deployments, and who is told of what."""

from pathlib import Path

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
MANAGED = "tickers.yaml"  # the tag of the deployments made here; the runs of these are told of
# what a run does first: it works where this project lies
PULL_STEPS = [{"prefect.deployments.steps.set_working_directory": {"directory": str(Path(__file__).parents[2])}}]
