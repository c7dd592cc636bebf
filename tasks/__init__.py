"""Thin Prefect tasks, one a step: retries, cache policy, artifacts. The work is in `stockml`."""
