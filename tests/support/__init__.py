"""Shared test support: generated and recorded prices, nights, homes, real servers."""

from pathlib import Path

PAYLOADS = Path(__file__).parents[1] / "payloads"  # the provider's answers, as documented
