"""One home, one source of prices: a replay of recorded years and today's market never share a store."""

import json
from collections.abc import Mapping
from typing import Literal, get_args

from stockml.errors import MixedPrices, RecordUnreadable
from stockml.home import Home
from stockml.home import home as home_of
from stockml.storage.files import write_atomically

Kind = Literal["replay", "market"]
FILE = "prices.json"
WRITE_AGAIN = 'write {"prices": "market"} or {"prices": "replay"} into it, as what the home holds is'
REPLAY = "replay"
# what says where prices come from; a Prefect server may hold the key in a Secret block
ELSEWHERE = ("ALPHAVANTAGE_API_KEY", "STOCKML_CLOCK", "PREFECT_API_URL", "STOCKML_STORE")


def kind_of(environ: Mapping[str, str]) -> Kind:
    """A replay names its moment, the market does not."""
    return "replay" if environ.get("STOCKML_CLOCK") else "market"


def is_named(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in ELSEWHERE)


def kind_in(home: Home) -> Kind | None:
    """What the home holds already; None before its first night. Raises RecordUnreadable."""
    path = home.root / FILE
    try:
        kind: Kind = json.loads(path.read_text())["prices"]
        if kind not in get_args(Kind):
            raise ValueError(f"prices of {kind!r}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordUnreadable(str(path), str(error), WRITE_AGAIN) from error
    return kind


def kind_here(home: Home, environ: Mapping[str, str]) -> Kind:
    """The one rule, which every command goes by.

    What the home holds already; else the market's with a key, recorded ones in a replay. Where neither is named, a home
    that is in use, or whose servers are up, has its key elsewhere (a Prefect Secret block, a service's environment); a
    new one is for recorded prices.
    """
    if kind := kind_in(home):
        return kind
    if is_named(environ):
        return kind_of(environ)
    return "market" if home.in_use and home.root.name != REPLAY else "replay"


def plays_recorded(home: Home, environ: Mapping[str, str]) -> bool:
    """Whether runs are served recorded prices: the home is for them, and there is no key. Raises RecordUnreadable."""
    return not environ.get("ALPHAVANTAGE_API_KEY") and kind_here(home, environ) == "replay"


def replay_home(environ: Mapping[str, str]) -> Home:
    """The folder `replay` within the home, or the home itself where it holds recorded prices; not STOCKML_STORE."""
    place = home_of(environ)
    inner = place.root if REPLAY in (kind_in(place), place.root.name) else place.root / REPLAY
    return home_of({**environ, "STOCKML_HOME": str(inner), "STOCKML_STORE": ""})


def check(home: Home, kind: Kind) -> None:
    """Raises MixedPrices when the home holds prices of the other kind."""
    if (before := kind_in(home)) not in (None, kind):
        raise MixedPrices(str(home.root), str(before), kind)


def claim(home: Home, kind: Kind) -> None:
    """Let the home hold prices of this kind from now on: to be called with the first answer. Raises MixedPrices."""
    check(home, kind)
    if kind_in(home) is None:
        write_atomically(home.root / FILE, json.dumps({"prices": kind}).encode())
