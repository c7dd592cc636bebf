"""The source of a home's prices: a replay of recorded years and today's market never share a
store."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

from stockml.errors import MixedPrices, RecordUnreadable
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.storage.files import write_atomically

Kind = Literal["replay", "market"]
FILE = "prices.json"
RESTORE = "restore it from a backup, or"
WRITE_AGAIN = (
    'write {"prices": "market"} or {"prices": "replay"} into a file of that name, '
    "whichever the home holds"
)
REPLAY = "replay"
IN_WORDS: dict[Kind, str] = {"replay": "recorded prices", "market": "the market's prices"}
# each of these names a source of prices; a Prefect server may hold the key in a Secret block
ELSEWHERE = ("ALPHAVANTAGE_API_KEY", "PREFECT_API_URL", "STOCKML_STORE")


def kind_of(environ: Mapping[str, str]) -> Kind:
    """The kind that the environment asks for: a replay sets STOCKML_CLOCK, the market does not."""
    return "replay" if environ.get("STOCKML_CLOCK") else "market"


def is_named(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in ELSEWHERE)


def kind_in(home: HomePaths) -> Kind | None:
    """The kind of prices that the home holds; None before its first night. Raises
    RecordUnreadable."""
    path = home.root / FILE
    try:
        kind: Kind = json.loads(path.read_text())["prices"]
        if kind not in get_args(Kind):
            raise ValueError(f"prices of {kind!r}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordUnreadable(str(path), str(error), f"{RESTORE} {WRITE_AGAIN}") from error
    except IsADirectoryError as error:
        raise RecordUnreadable(
            str(path), "a folder", f"{RESTORE} move it away and {WRITE_AGAIN}"
        ) from error
    return kind


def kind_here(home: HomePaths, environ: Mapping[str, str]) -> Kind:
    """The kind of prices for this home: the one rule that every command follows. Raises
    RecordUnreadable.

    The kind that the home holds; else, if the environment names a source (ELSEWHERE), `kind_of` it.
    Otherwise a home in use, or whose servers are up, is the market's and has its key elsewhere (a
    Prefect Secret block, a service's environment), unless it is named `replay`; a new home is for
    recorded prices.
    """
    if kind := kind_in(home):
        return kind
    if is_named(environ):
        return kind_of(environ)
    return "market" if home.in_use and home.root.name != REPLAY else "replay"


def plays_recorded(home: HomePaths, environ: Mapping[str, str]) -> bool:
    """Whether runs get recorded prices: the home is for them, and no key is set. Raises
    RecordUnreadable."""
    return not environ.get("ALPHAVANTAGE_API_KEY") and kind_here(home, environ) == "replay"


def replay_home(environ: Mapping[str, str]) -> HomePaths:
    """The home `replay` within the home, or the home itself if it is for recorded prices; ignores
    STOCKML_STORE."""
    home = home_of(environ)
    inner = home.root if REPLAY in (kind_in(home), home.root.name) else home.root / REPLAY
    return home_of({**environ, "STOCKML_HOME": str(inner), "STOCKML_STORE": ""})


def other_home(home: HomePaths) -> HomePaths | None:
    """The home of the other kind of prices, beside or around this one; None if nothing is in it."""
    inside = home.root.name == REPLAY
    root = home.root.parent if inside else home.root / REPLAY
    other = replace(home, root=root, store=root / "store")
    return other if kind_in(other) == ("market" if inside else REPLAY) else None


def prices_in(home: HomePaths, environ: Mapping[str, str]) -> str:
    """Which prices the home is for, and where those of the other kind are, if anywhere. Raises
    RecordUnreadable."""
    other = other_home(home)
    there = f"; {IN_WORDS[kind_here(other, environ)]}: STOCKML_HOME={other.root}" if other else ""
    return f"{IN_WORDS[kind_here(home, environ)]} in {home.root}{there}"


def check(home: HomePaths, kind: Kind) -> Kind | None:
    """The kind of prices that the home holds; None before its first night. Raises MixedPrices if it
    is the other."""
    if (before := kind_in(home)) not in (None, kind):
        raise MixedPrices(str(home.root), str(before), kind)
    return before


def claim(home: HomePaths, kind: Kind) -> None:
    """Mark the home as holding this kind of prices from now on; call it with the first answer.
    Raises MixedPrices."""
    if check(home, kind) is None:
        write_atomically(home.root / FILE, json.dumps({"prices": kind}).encode())
