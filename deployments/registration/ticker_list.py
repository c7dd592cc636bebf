"""The user's list of tickers, `tickers.yaml` in the home, whose comments and order survive every
change.

Until it exists, the list shipped with the project applies.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from deployments.registration.tickers_file import TICKERS_FILE, TickersFile, parsed, read_tickers
from stockml.errors import InvalidFile
from stockml.home import HomePaths
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock
from stockml.tickers import as_key

if TYPE_CHECKING:
    from stockml.prices.store import BarStore

BUSY_S = 10.0


def tickers_of(home: HomePaths) -> TickersFile:
    """Read the home's list, or the project's if it has none. Raises InvalidFile."""
    return read_tickers(list_file(home))


def listed_spelling(home: HomePaths) -> Callable[[str], str]:
    """A function that spells a ticker as the list does, else as the store (BRK-B as BRK.B), else
    unchanged."""
    from stockml.prices.store import BarStore

    shares = dict[str, list[str]]()
    for ticker in BarStore.of(home).tickers():
        shares.setdefault(as_key(ticker), []).append(ticker)
    with suppress(InvalidFile):
        shares |= {as_key(entry.ticker): [entry.ticker] for entry in tickers_of(home).tickers}
    return lambda ticker: (
        ticker if ticker in (same := shares.get(as_key(ticker), [ticker])) else same[0]
    )


def own_calendars(home: HomePaths) -> dict[str, str | None]:
    """The list's tickers, each with the calendar chosen there; none where it cannot be read, which
    costs no bars."""
    with suppress(InvalidFile):
        return {entry.ticker: entry.calendar for entry in tickers_of(home).tickers}
    return {}


def ticker_store(home: HomePaths, ticker: str, calendar: str | None) -> "BarStore":
    """The ticker's bars, on the calendar given, else that of the list, else that of its newest
    night."""
    from stockml.nights.key_figures import store_of

    return store_of(home, ticker, calendar or own_calendars(home).get(ticker))


def list_file(home: HomePaths) -> Path:
    """The home's own list, even if only a link to a file that is away just now; else the
    project's."""
    return home.tickers if home.tickers.is_symlink() or home.tickers.exists() else TICKERS_FILE


def add(home: HomePaths, tickers: Sequence[str], choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Add tickers, with `choices` (calendar, at, profile) if given; return those that were not in
    the list yet.

    Raises InvalidFile, and then changes nothing.
    """
    with _lock(home):
        listed = [entry.ticker for entry in tickers_of(home).tickers]
        # BRK-B is there as BRK.B
        spellings = {as_key(ticker): ticker for ticker in reversed([*listed, *tickers])}
        new = tuple(
            ticker
            for ticker in dict.fromkeys(tickers)
            if ticker in {*spellings.values()} - {*listed}
        )
        options = {name: value for name, value in choices.items() if value is not None}
        tree = _tree(home)
        for ticker in new:
            tree["tickers"].append({"ticker": ticker, **options} if options else ticker)
        if new:
            write_atomically(home.tickers, _text(home, tree))
    return new


def rename(home: HomePaths, old: str, new: str, *, only_check: bool = False) -> bool:
    """Rename the entry of `old` to `new`, keeping its choices; False if it is not in the list, or
    not any more.

    Raises InvalidFile, and then changes nothing. Notes the old name of its schedules until Prefect
    is updated.
    """
    with _lock(home):
        listed = [entry.ticker for entry in tickers_of(home).tickers]
        if old not in listed:
            return False
        tree, at = _tree(home), listed.index(old)
        if isinstance(tree["tickers"][at], Mapping):
            tree["tickers"][at]["ticker"] = new
        else:
            tree["tickers"][at] = new
        text = _text(home, tree)
        if not only_check:
            earlier = earlier_names(home)
            write_atomically(
                _earlier(home), json.dumps({**earlier, new: earlier.get(old, old)}).encode()
            )
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
    """Remove tickers; return those listed. Raises InvalidFile, also if none would be left, and then
    changes nothing."""
    with _lock(home):
        listed = [entry.ticker for entry in tickers_of(home).tickers]
        removed = tuple(ticker for ticker in dict.fromkeys(tickers) if ticker in listed)
        tree = _tree(home)
        for ticker in removed:
            _drop(tree["tickers"], listed.index(ticker))
            listed.remove(ticker)
        if removed:
            write_atomically(home.tickers, _text(home, tree))
    return removed


def _lock(home: HomePaths) -> AbstractContextManager[None]:
    return file_lock(home.locks / "tickers.lock", BUSY_S)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _tree(home: HomePaths) -> Any:
    return _yaml().load(list_file(home).read_text(encoding="utf-8-sig"))


def _text(home: HomePaths, tree: Any) -> bytes:
    """The list as YAML. Raises InvalidFile for one that could not be read."""
    _yaml().dump(tree, text := StringIO())
    parsed(text.getvalue(), str(home.tickers))
    return text.getvalue().encode()


def _drop(listed: CommentedSeq, at: int) -> None:
    """Remove an item, but not the lines of comment below it, which are about the next one."""
    node, key = _end(listed, at)
    comment = next(filter(None, node.ca.items.get(key, ())), None)
    _, _, below = comment.value.partition("\n") if comment else ("", "", "")
    listed.pop(at)
    if not below.strip():
        return
    if at == 0:
        lines = [line.strip().removeprefix("#").strip() for line in below.strip().splitlines()]
        listed.yaml_set_comment_before_after_key(0, before="\n".join(lines), indent=2)
        return
    node, key = _end(listed, at - 1)
    if not node.ca.items.get(key):
        node.yaml_add_eol_comment("#", key)  # makes the place
        next(filter(None, node.ca.items[key])).value = "\n"
    next(filter(None, node.ca.items[key])).value += below


def _end(node: Any, key: Any) -> tuple[Any, Any]:
    """The node, and its key, that end an item: comments below the item are kept there."""
    while (
        isinstance(inner := node[key], CommentedMap | CommentedSeq)
        and inner
        and not inner.fa.flow_style()
    ):
        node, key = inner, len(inner) - 1 if isinstance(inner, CommentedSeq) else [*inner][-1]
    return node, key
