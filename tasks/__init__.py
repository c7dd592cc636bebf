"""Thin Prefect tasks, one per step: retries, cache policy, artifacts. The work is in `stockml`."""
