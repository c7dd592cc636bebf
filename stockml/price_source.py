"""One home, one source of prices: a replay of recorded years and today's market never share a store."""

import json
from collections.abc import Mapping
from typing import Literal

from stockml.errors import MixedPrices, RecordUnreadable
from stockml.home import Home
from stockml.receipts import write_atomically

Kind = Literal["replay", "market"]
FILE = "prices.json"


def kind_of(environ: Mapping[str, str]) -> Kind:
    """A replay names its moment, the market does not."""
    return "replay" if environ.get("STOCKML_CLOCK") else "market"


def claim(home: Home, kind: Kind) -> None:
    """Let the home hold prices of this kind from now on. Raises MixedPrices when it holds the other already."""
    path = home.root / FILE
    try:
        held = json.loads(path.read_text())["prices"]
    except FileNotFoundError:
        write_atomically(path, json.dumps({"prices": kind}).encode())
        return
    except (ValueError, KeyError, TypeError) as error:
        raise RecordUnreadable(str(path), str(error)) from error
    if held != kind:
        raise MixedPrices(str(home.root), held, kind)
