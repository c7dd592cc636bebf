"""One home, one source of prices: a replay of recorded years and today's market never share a store."""

import json
from collections.abc import Mapping
from typing import Literal

from stockml.errors import MixedPrices, RecordUnreadable
from stockml.home import Home
from stockml.storage.files import write_atomically

Kind = Literal["replay", "market"]
FILE = "prices.json"


def kind_of(environ: Mapping[str, str]) -> Kind:
    """A replay names its moment, the market does not."""
    return "replay" if environ.get("STOCKML_CLOCK") else "market"


def held(home: Home) -> Kind | None:
    """What the home holds already; None before its first night. Raises RecordUnreadable."""
    path = home.root / FILE
    try:
        kind: Kind = json.loads(path.read_text())["prices"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordUnreadable(str(path), str(error)) from error
    return kind


def claim(home: Home, kind: Kind) -> None:
    """Let the home hold prices of this kind from now on. Raises MixedPrices when it holds the other already."""
    before = held(home)
    if before is None:
        write_atomically(home.root / FILE, json.dumps({"prices": kind}).encode())
    elif before != kind:
        raise MixedPrices(str(home.root), before, kind)
