"""Thin Prefect tasks, one per step: retries, cache key, artifacts. The work is in `stockml`."""
