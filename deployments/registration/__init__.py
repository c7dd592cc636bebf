"""Tickers, their deployments, and who is told of what."""
