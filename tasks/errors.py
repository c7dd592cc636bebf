"""How a run's page words an error, and an error of what is measured outside the nights."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect.states import Failed, State

from stockml.errors import StockmlError

P = ParamSpec("P")


def in_words(error: BaseException) -> str:
    """Our own errors say what to do; any other is unexpected, and named by its class."""
    return (
        str(error)
        if isinstance(error, StockmlError)
        else f"unexpected {type(error).__name__}: {error}"
    )


def failing_in_words(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """A flow's function whose error of ours is its run's message: Prefect would put the error's
    class before it."""

    @wraps(function)
    def worded(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        try:
            return function(*args, **kwargs)
        except StockmlError as error:
            return Failed(message=str(error), data=error)

    return worded


class ProcessKilled(StockmlError):
    workers: int
    text = (
        "expected {workers} processes to finish the backtest, found one killed, most likely "
        "for want of memory; end other programs, or name fewer tickers at a time"
    )
