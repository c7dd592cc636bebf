"""Tickers: checked before they touch a path, a URL or a model's name; their exchange, by suffix."""

import re

from stockml.errors import InvalidTicker

TICKER = re.compile(r"[A-Z0-9]{1,10}([.-][A-Z0-9]{1,5}){0,2}")


def validated_ticker(text: str) -> str:
    """The ticker in upper case, safe in a path, a URL and a model's name. Raises InvalidTicker."""
    ticker = text.strip().upper() if isinstance(text, str) else ""
    if not TICKER.fullmatch(ticker) or not text.isascii() or ticker in {"CON", "NUL", "PRN", "AUX"}:
        raise InvalidTicker(text)
    return ticker


def without_ticker(ticker: str, why: str) -> str:
    """The reason without its leading ticker, for use beside the ticker."""
    return re.sub(rf"^(\w+: )?{re.escape(ticker)}: ", r"\1", why)


# by a ticker's suffix: the exchange's calendar, and the currency that the provider quotes in; TSX
# Venture (TRV) uses Toronto's calendar, Shenzhen Shanghai's
EXCHANGES = {
    "": ("XNYS", "$"),
    "LON": ("XLON", "pence"),
    "TRT": ("XTSE", "C$"),
    "TRV": ("XTSE", "C$"),
    "DEX": ("XETR", "€"),
    "FRK": ("XFRA", "€"),
    "PAR": ("XPAR", "€"),
    "AMS": ("XAMS", "€"),
    "BSE": ("XBOM", "₹"),
    "SHH": ("XSHG", "CN¥"),
    "SHZ": ("XSHG", "CN¥"),
    "SAO": ("BVMF", "R$"),
}

YAHOO = {  # by a suffix as Yahoo writes it: the provider's
    "L": "LON",
    "TO": "TRT",
    "V": "TRV",
    "DE": "DEX",
    "F": "FRK",
    "PA": "PAR",
    "AS": "AMS",
    "BO": "BSE",
    "SS": "SHH",
    "SZ": "SHZ",
    "SA": "SAO",
}


def from_yahoo(ticker: str) -> str | None:
    """The provider's symbol for what Yahoo would mean by this one; None if that is the same."""
    share, _, suffix = ticker.rpartition(".")
    return f"{share}.{YAHOO[suffix]}" if share and suffix in YAHOO else None


def spelling(ticker: str) -> str:
    """What to do about a symbol that the provider does not know."""
    symbol = from_yahoo(ticker)
    return "check the spelling" + (
        f"; Yahoo's {ticker} is Alpha Vantage's {symbol}" if symbol else ""
    )


def exchange(ticker: str) -> tuple[str, str]:
    """The exchange's calendar and the currency: XNYS and `$` for IBM, BRK.B; no currency for an
    unknown suffix."""
    suffix = ticker.upper().rpartition(".")[2] if "." in ticker else ""
    return EXCHANGES.get("" if len(suffix) == 1 and suffix not in YAHOO else suffix, ("XNYS", ""))


def as_key(ticker: str) -> str:
    """The ticker as part of a Prefect artifact's key (lower-case letters, digits and dashes only):
    `tsco-lon`.

    The same for both spellings of a share class, BRK.B and BRK-B.
    """
    return ticker.lower().replace(".", "-")
