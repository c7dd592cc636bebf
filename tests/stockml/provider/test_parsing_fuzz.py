"""Whatever arrives, only typed errors are raised, and what is accepted is fit to be checked and
stored."""

import json
import pickle
import random
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import FeedError
from stockml.prices.bars import Bars, Split
from stockml.provider.parsing import SERIES, parse_daily, parse_splits
from tests.support import PAYLOADS

TODAY = date(2026, 11, 20)
BARS_EACH = 4
ROUNDS = 20  # `python -m tests.faults.campaign` tries thousands
FAILURES = [
    "NoData",
    "BadPayload",
    "RateLimited",
    "QuotaSpent",
    "BadKey",
    "PremiumOnly",
    "UnknownSymbol",
]
OUTCOMES = {"bars", "splits", *FAILURES}

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 1e308, 10**400, float("nan"), float("inf"), [], {}, [[]], {"": {}}),
    *("", "None", "nan", "-inf", "1e999", "-0.0", "1_0", "0x10", "9" * 5_000, "٣"),
    *("MSFT", "ibm\x00", "\ud800", "\u202e", "😀" * 300, "../../etc/passwd", "apikey=ABC&x"),
    *("2026-11-21", "2026-02-30", "0000-00-00", "9999-12-31", "20261120", "२०२६-११-२०"),
    *("2026-11-20 14:07:03", "2026-11-20 99:99:99"),
    *("calls per day", "per second", "premium endpoint", "Invalid API call"),
)
FRAGMENTS = (
    b"{",
    b"}",
    b"]",
    b'"',
    b"\\",
    b":",
    b"\x00",
    b"\xff",
    b"\\ud800",
    b"[" * 50,
    b"1e9999",
)


def trimmed(path: Path) -> bytes:
    """The file with only its first bars, so that many mutations are quick and often hit what
    matters."""
    if path.suffix != ".json":
        return path.read_bytes()[:2_000]
    answer = json.loads(path.read_bytes())
    if SERIES in answer:
        answer[SERIES] = dict(list(answer[SERIES].items())[:BARS_EACH])
    return json.dumps(answer).encode()


FILES = {
    path.name: trimmed(path) for path in sorted(PAYLOADS.iterdir()) if path.name != "README.md"
}


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """One to four cuts, copies, flips or insertions anywhere."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((0, 1, 1, 5, 50, 500)))
        middle = chance.choice(
            (b"", content[start:end] * 2, bytes([chance.randrange(256)]), chance.choice(FRAGMENTS))
        )
        content = content[:start] + middle + content[end:]
    return content


def mutated_tree(content: bytes, chance: random.Random) -> bytes:
    """One to three values replaced, names changed, entries dropped, doubled or moved somewhere
    inside the JSON."""
    try:
        tree = json.loads(content)
    except ValueError:
        return mutated_bytes(content, chance)
    for _ in range(chance.randint(1, 3)):
        tree = _changed(tree, chance)
    text = json.dumps(tree)
    return text.encode("utf-8", "surrogatepass")


def _changed(tree: Any, chance: random.Random) -> Any:
    if not isinstance(tree, dict | list) or not tree or chance.random() < 0.1:
        return deepcopy(chance.choice(HOSTILE))
    if isinstance(tree, list):
        at = chance.randrange(len(tree))
        return chance.choice(
            (
                tree[:at],
                [*tree, tree[at]],
                [*tree[:at], _changed(tree[at], chance), *tree[at + 1 :]],
            )
        )
    name = chance.choice(list(tree))
    rest = {key: value for key, value in tree.items() if key != name}
    hostile_name = str(chance.choice([*HOSTILE, *tree]))
    return chance.choice(
        (rest, rest | {hostile_name: tree[name]}, {**tree, hostile_name: tree[name]})
        + (tree | {name: _changed(tree[name], chance)},) * 7
    )


def doubled_name(content: bytes, chance: random.Random) -> bytes:
    """A name made to appear twice, which `json.loads` alone would swallow."""
    names = re.findall(rb'"([^"]+)"\s*:', content) or [b"name"]
    first, second = chance.choice(names), chance.choice(names)
    return content.replace(b'"' + first + b'"', b'"' + second + b'"', 1)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    mutated_bytes,
    mutated_tree,
    mutated_tree,
    doubled_name,
)


def check(content: bytes, ticker: str) -> str:
    """Parse as both kinds of answer and name the outcome; an untyped error or an unfit result fails
    the test."""
    outcome = "nothing"
    for parse, is_fit in ((_daily, _fit_to_be_checked), (parse_splits, _fit_to_be_applied)):
        try:
            return is_fit(parse(content, ticker))
        except FeedError as error:
            outcome = _fit_to_be_shown(error)
    return outcome


def _daily(content: bytes, ticker: str) -> Bars:
    return parse_daily(content, ticker, last_final=TODAY)


def _fit_to_be_shown(error: FeedError) -> str:
    assert len(str(error).encode()) < 2_000
    assert str(error).isprintable()
    assert pickle.loads(pickle.dumps(error)).args == error.args
    return type(error).__name__


def _fit_to_be_applied(splits: tuple[Split, ...]) -> str:
    assert all(split.factor > 0 and np.isfinite(split.factor) for split in splits)
    assert len({split.effective for split in splits}) == len(splits)
    return "splits"


def _fit_to_be_checked(bars: Bars) -> str:
    assert bars.index.is_unique
    assert bars.index.is_monotonic_increasing
    assert bars.index[-1].date() <= TODAY
    assert not np.isinf(bars.to_numpy()).any()
    return "bars"


@pytest.mark.parametrize("name", FILES)
def test_mutated_payloads_raise_only_typed_errors(name: str) -> None:
    chance = random.Random(name)  # the same mutations in every run
    ticker = (
        "AAPL"
        if "legacy" in name
        else {"new_": "NEWCO", "stal": "GONE", "with": "SPLT"}.get(name[6:10], "IBM")
    )
    outcomes = {check(chance.choice(MUTATIONS)(FILES[name], chance), ticker) for _ in range(ROUNDS)}
    assert outcomes | {check(FILES[name], ticker)} <= OUTCOMES


def test_the_mutations_reach_every_outcome_but_an_unknown_symbol() -> None:
    chance = random.Random(3)
    outcomes = {
        check(chance.choice(MUTATIONS)(content, chance), "IBM")
        for content in FILES.values()
        for _ in range(20)
    }
    assert outcomes >= OUTCOMES - {"UnknownSymbol"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
DAY = st.dates().map(str) | st.text(max_size=12)
NUMBER = st.floats().map(str) | JSON
FIELDS = ("1. open", "2. high", "3. low", "4. close", "5. volume")
BAR = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, NUMBER))
META = st.fixed_dictionaries(
    {}, optional={"2. Symbol": st.just("IBM") | JSON, "3. Last Refreshed": DAY | JSON}
)


@given(
    st.fixed_dictionaries(
        {SERIES: st.dictionaries(DAY, BAR | JSON, max_size=4)}, optional={"Meta Data": META | JSON}
    )
)
def test_anything_shaped_like_a_series_raises_only_typed_errors(answer: dict[str, Any]) -> None:
    check(json.dumps(answer).encode(), "IBM")


@given(st.binary(max_size=200) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_any_bytes_raise_only_typed_errors(content: bytes) -> None:
    check(content, "IBM")
