"""Errors of what is learned and measured outside the nights."""

from stockml.errors import StockmlError


class ProcessKilled(StockmlError):
    workers: int
    text = (
        "expected {workers} processes to finish the backtest, found one killed, most likely for want of memory; "
        "end other programs, or name fewer tickers at a time"
    )
