"""stockml: stock-price LSTMs, retrained and evaluated every night.

The library works from a notebook: it never imports prefect, `tasks` or `flows`, and importing it
has no side effects. `stockml.Home()` gives the stored bars, the published forecasts and the nights
as data frames.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stockml.nights.frames import Home as Home

__all__ = ["Home"]


def __getattr__(name: str) -> Any:
    if name != "Home":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stockml.nights.frames import Home

    return Home


def __dir__() -> list[str]:
    return [*globals(), *__all__]
