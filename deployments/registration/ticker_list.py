"""The user's list of tickers, `tickers.yaml` in the home, edited line by line so that comments are kept.

Until it exists, the list shipped with the project applies.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deployments.registration.tickers_file import TICKERS_FILE, TickersFile, parsed, read_tickers
from stockml.errors import InvalidFile
from stockml.home import HomePaths
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock
from stockml.tickers import as_key

if TYPE_CHECKING:
    from stockml.prices.store import BarStore

BY_HAND = "expected `tickers:` with one `- TICKER` a line below it, found another layout; edit the file by hand"
BUSY_S = 10.0
_REMARKS = re.compile(r"(?m)(?:^[ \t]*(?:#.*)?\n)*\Z")  # comments and blank lines below an item


def tickers_of(home: HomePaths) -> TickersFile:
    """Read the home's list, or the project's if it has none. Raises InvalidFile."""
    return read_tickers(list_file(home))


def listed_spelling(home: HomePaths) -> Callable[[str], str]:
    """A function that spells a ticker as the list does, else as the store (BRK-B as BRK.B), else unchanged."""
    from stockml.prices.store import BarStore

    shares = dict[str, list[str]]()
    for ticker in BarStore.of(home).tickers():
        shares.setdefault(as_key(ticker), []).append(ticker)
    with suppress(InvalidFile):
        shares |= {as_key(entry.ticker): [entry.ticker] for entry in tickers_of(home).tickers}
    return lambda ticker: ticker if ticker in (same := shares.get(as_key(ticker), [ticker])) else same[0]


def own_calendars(home: HomePaths) -> dict[str, str | None]:
    """The list's tickers, each with the calendar chosen there; none where it cannot be read, which costs no bars."""
    with suppress(InvalidFile):
        return {entry.ticker: entry.calendar for entry in tickers_of(home).tickers}
    return {}


def ticker_store(home: HomePaths, ticker: str, calendar: str | None) -> "BarStore":
    """The ticker's bars, on the calendar given, else that of the list, else that of its newest night."""
    from stockml.nights.key_figures import store_of

    return store_of(home, ticker, calendar or own_calendars(home).get(ticker))


def list_file(home: HomePaths) -> Path:
    """The home's own list, even if only a link to a file that is away just now; else the project's."""
    return home.tickers if home.tickers.is_symlink() or home.tickers.exists() else TICKERS_FILE


def add(home: HomePaths, tickers: Sequence[str], choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Add tickers, with `choices` (calendar, at, profile) if given; return those that were not in the list yet.

    Adding the first ticker starts the home's own list. Raises InvalidFile, and then changes nothing.
    """
    with _lock(home):
        file = list_file(home)
        listed = [entry.ticker for entry in read_tickers(file).tickers] if file != TICKERS_FILE else []
        spellings = {as_key(ticker): ticker for ticker in reversed([*listed, *tickers])}  # BRK-B is there as BRK.B
        new = tuple(ticker for ticker in dict.fromkeys(tickers) if ticker in {*spellings.values()} - {*listed})
        before, items, after = _parts(file)
        indent = items[0].partition("-")[0]
        items = items if listed else []
        options = {name: value for name, value in choices.items() if value is not None}
        for ticker in new:
            entry = json.dumps({"ticker": ticker, **options}) if options else _quoted(ticker)
            items.append(f"{indent}- {entry}\n")
        write_atomically(home.tickers, _checked(home, before, items, after, [*listed, *new]))
    return new


def rename(home: HomePaths, old: str, new: str, *, only_check: bool = False) -> bool:
    """Rename the entry of `old` to `new`, keeping its choices; False if it is not in the list, or not any more.

    Raises InvalidFile, and then changes nothing. Notes the old name of its schedules until Prefect is updated.
    """

    def replacement(match: re.Match[str]) -> str:
        return f"{match[1]}{new}{match[1]}" if match[1] else _quoted(new)

    with _lock(home):
        listed = [entry.ticker for entry in tickers_of(home).tickers]
        if old not in listed:
            return False
        before, items, after = _parts(list_file(home))
        index = listed.index(old)
        symbol = rf"(?i)(?<![A-Z0-9.-])(['\"]?){re.escape(old)}\1(?![A-Z0-9.-]|\s*:)"
        items[index] = re.sub(symbol, replacement, items[index], count=1)
        text = _checked(home, before, items, after, [new if ticker == old else ticker for ticker in listed])
        if not only_check:
            earlier = earlier_names(home)
            write_atomically(_earlier(home), json.dumps({**earlier, new: earlier.get(old, old)}).encode())
            write_atomically(home.tickers, text)
        return True


def earlier_names(home: HomePaths) -> dict[str, str]:
    """Prefect's names of the renamed tickers that it has not been updated for yet."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads(_earlier(home).read_bytes()))
    return {}


def forget_earlier_names(home: HomePaths) -> None:
    _earlier(home).unlink(missing_ok=True)


def _earlier(home: HomePaths) -> Path:
    return home.prefect / "renamed.json"


def remove(home: HomePaths, tickers: Sequence[str]) -> tuple[str, ...]:
    """Remove tickers; return those listed. Raises InvalidFile, also if none would be left, and then changes nothing."""
    with _lock(home):
        listed = [entry.ticker for entry in tickers_of(home).tickers]
        removed = tuple(ticker for ticker in dict.fromkeys(tickers) if ticker in listed)
        before, items, after = _parts(list_file(home))
        blocks = [before]
        for ticker, item in zip(listed, items, strict=True):
            if ticker in removed:
                blocks[-1] += _REMARKS.findall(item)[0]
            else:
                blocks.append(item)
        if removed:
            text = _checked(home, "", blocks, after, [ticker for ticker in listed if ticker not in removed])
            write_atomically(home.tickers, text)
    return removed


def replace(home: HomePaths, file: Path) -> None:
    """Replace the home's list by `file`; a different earlier list stays beside it. Raises InvalidFile."""
    read_tickers(file)
    content = file.read_bytes()
    with _lock(home):
        if home.tickers.exists() and home.tickers.read_bytes() != content:
            write_atomically(home.tickers.with_suffix(".yaml.before"), home.tickers.read_bytes())
        write_atomically(home.tickers, content)


def _lock(home: HomePaths) -> AbstractContextManager[None]:
    return file_lock(home.locks / "tickers.lock", BUSY_S)


def _parts(path: Path) -> tuple[str, list[str], str]:
    """Split the file: what stands before the first item, the items with the lines after each, and what follows."""
    text = path.read_text(encoding="utf-8-sig")
    tree: Any = yaml.compose(text, yaml.SafeLoader)
    lines, index = text.splitlines(keepends=True), [key.value for key, _ in tree.value].index("tickers")
    tickers, following = tree.value[index][1], tree.value[index + 1 :]
    if tickers.flow_style:
        raise InvalidFile(str(path), BY_HAND)
    starts = [_begins(item.start_mark, lines) for item in tickers.value]
    end = following[0][0].start_mark.line if following else len(lines)
    items = ["".join(lines[first:last]) for first, last in pairwise([*starts, end])]
    if not items[-1].endswith("\n"):
        items[-1] += "\n"
    return "".join(lines[: starts[0]]), items, "".join(lines[end:])


def _begins(item: Any, lines: Sequence[str]) -> int:
    """The line of the item's dash, which is above the item's own mark where the dash ends a line or has a comment."""
    above = (line for line in range(item.line - 1, -1, -1) if "-" in lines[line].partition("#")[0])
    return int(item.line) if "-" in lines[item.line][: item.column] else next(above)


def _checked(home: HomePaths, before: str, items: Sequence[str], after: str, expected: Sequence[str]) -> bytes:
    """Join the parts to the list's text. Raises InvalidFile unless it parses to exactly the `expected` tickers."""
    text = before + "".join(items) + after
    entries = parsed(text, str(home.tickers)).tickers
    if [entry.ticker for entry in entries] != list(expected):
        raise InvalidFile(str(home.tickers), BY_HAND)
    return text.encode()


def _quoted(ticker: str) -> str:
    """Quote the ticker if YAML would not read it as text: bare `ON` is a boolean and `0005` a number."""
    return ticker if yaml.safe_load(ticker) == ticker else f'"{ticker}"'
