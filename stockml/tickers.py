"""A ticker, checked before it touches a path, a URL or the name of a model."""

import re

from stockml.errors import InvalidTicker

TICKER = re.compile(r"[A-Z0-9][A-Z0-9]{0,9}([.-][A-Z0-9]{1,5}){0,2}")


def validated_ticker(text: str) -> str:
    """The ticker in upper case, safe in a path, a URL and a model's name. Raises InvalidTicker."""
    ticker = text.strip().upper()
    if not TICKER.fullmatch(ticker) or ticker in {"CON", "NUL", "PRN", "AUX"}:
        raise InvalidTicker(text)
    return ticker


# in which the provider quotes, by a ticker's suffix
CURRENCIES = {
    "": "$", "LON": "pence", "TRT": "C$", "TRV": "C$", "DEX": "€", "FRK": "€", "PAR": "€", "AMS": "€", "BSE": "₹",
    "SHH": "CN¥", "SHZ": "CN¥", "SAO": "R$",
}  # fmt: skip


def currency(ticker: str) -> str:
    """`$` for IBM, `€` for SAP.DEX; empty where the suffix is not known."""
    return CURRENCIES.get(ticker.upper().partition(".")[2], "")


def as_key(ticker: str) -> str:
    """The ticker within a Prefect artifact's key, which has small letters, digits and dashes only: `tsco-lon`."""
    return ticker.lower().replace(".", "-")
