"""stockml: retrain stock-price LSTMs every night, and be able to trust them.

The library works from a notebook: it never imports prefect, `tasks` or `flows`, and importing it does nothing.
`stockml.Home()` shows what was gathered and forecast.
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
