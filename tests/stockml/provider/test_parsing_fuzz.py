"""Whatever arrives, only typed errors are raised, and what is accepted is fit to be checked and
stored."""

import json
import pickle
import random
import re
from copy import deepcopy
from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import FeedError
from stockml.provider.parsing import SERIES, parse_daily, parse_splits
from tests.support import PAYLOADS

TODAY = date(2026, 11, 20)
BARS_EACH = 4
ROUNDS = 20  # `python -m tests.faults.campaign` tries thousands
HOSTILE = (
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


def trimmed(path):
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


def mutated_bytes(content, chance):
    """One to four cuts, copies, flips or insertions anywhere."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        end = start + chance.choice((0, 1, 1, 5, 50, 500))
        middle = chance.choice(
            (b"", content[start:end] * 2, chance.randbytes(1), chance.choice(FRAGMENTS))
        )
        content = content[:start] + middle + content[end:]
    return content


def mutated_tree(content, chance):
    """One to three values replaced, or entries dropped, doubled or renamed, inside the JSON."""
    try:
        tree = json.loads(content)
    except ValueError:
        return mutated_bytes(content, chance)
    for _ in range(chance.randint(1, 3)):
        tree = _changed(tree, chance)
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _changed(tree, chance):
    if not isinstance(tree, dict | list) or not tree or chance.random() < 0.1:
        return deepcopy(chance.choice(HOSTILE))
    entries = dict(tree if isinstance(tree, dict) else enumerate(tree))
    name, new_name = chance.choice([*entries]), str(chance.choice([*HOSTILE, *entries]))
    match chance.randrange(10):
        case 0:
            del entries[name]
        case 1:
            entries[new_name] = entries[name]
        case 2:
            entries[new_name] = entries.pop(name)
        case _:
            entries[name] = _changed(entries[name], chance)
    return entries if isinstance(tree, dict) else [*entries.values()]


def doubled_name(content, chance):
    """A name made to appear twice, which `json.loads` alone would swallow."""
    names = re.findall(rb'"([^"]+)"\s*:', content) or [b"name"]
    first, second = chance.choice(names), chance.choice(names)
    return content.replace(b'"' + first + b'"', b'"' + second + b'"', 1)


MUTATIONS = (mutated_bytes, mutated_tree, mutated_tree, doubled_name)


def check(content, ticker):
    """Parse as both kinds of answer and name the outcome; an untyped error or an unfit result fails
    the test."""
    outcome = "nothing"
    for parse, is_fit in ((_daily, _fit_to_be_checked), (parse_splits, _fit_to_be_applied)):
        try:
            return is_fit(parse(content, ticker))
        except FeedError as error:
            outcome = _fit_to_be_shown(error)
    return outcome


def _daily(content, ticker):
    return parse_daily(content, ticker, last_final=TODAY)


def _fit_to_be_shown(error):
    assert len(str(error).encode()) < 2_000
    assert str(error).isprintable()
    assert pickle.loads(pickle.dumps(error)).args == error.args
    return type(error).__name__


def _fit_to_be_applied(splits):
    assert all(split.factor > 0 and np.isfinite(split.factor) for split in splits)
    assert len({split.effective for split in splits}) == len(splits)
    return "splits"


def _fit_to_be_checked(bars):
    assert bars.index.is_unique
    assert bars.index.is_monotonic_increasing
    assert bars.index[-1].date() <= TODAY
    assert not np.isinf(bars.to_numpy()).any()
    return "bars"


def test_mutated_payloads_raise_only_typed_errors_and_reach_every_outcome_but_an_unknown_symbol():
    chance = random.Random(3)  # the same mutations in every run
    outcomes = {
        check(chance.choice(MUTATIONS)(content, chance), "IBM")
        for content in FILES.values()
        for _ in range(ROUNDS)
    }
    refusals = {"NoData", "BadPayload", "RateLimited", "QuotaSpent", "BadKey", "PremiumOnly"}
    assert outcomes >= {"bars", "splits", *refusals}


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
def test_anything_shaped_like_a_series_raises_only_typed_errors(answer):
    check(json.dumps(answer).encode(), "IBM")


@given(st.binary(max_size=200) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_any_bytes_raise_only_typed_errors(content):
    check(content, "IBM")
