"""Plain numbers are read a shorter way, with the same result as behind a currency sign, which is not plain."""

import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stockml.prices.csv_cells import NotPrices, decimal_mark, numbers_of

NEARLY_PLAIN = (
    "1e5", "1_000", "٣", "१.५", "１", "1,5", "1.234", "1,234.5", "nan", "inf", "-0", "-1", "+1", "0x10", "007", "00.5",
    "1.", ".5", ".", "", "-", "12345678901234567890", "18446744073709551616", "9007199254740993", "1e400", "9" * 400,
    "0.1000000000000000055511151231257827", "1\u00a0000", "1\u20092", "1\u30002", "1\x1c1", "1\x00", "1'000", "1 2",
    "1%", "true", "1.5d", "1.41M", "2K",
)  # fmt: skip
HOW = [(name, mark) for name in ("close", "volume") for mark in ("comma", "point")]
plain = st.integers(0, 10**20).map(str) | st.decimals(0, 10**6, places=4).map("{:f}".format)
cell = plain | st.sampled_from(NEARLY_PLAIN) | st.text("0123456789.,-+eE_ \u00a0٣$", max_size=8).map(str.strip)
columns = st.lists(plain, min_size=1, max_size=4) | st.lists(cell, min_size=1, max_size=4)


def read(column, sign=""):
    """The decimal mark and the numbers of a file with the texts in two columns, each behind the sign."""
    texts = [sign + text if text else "" for text in column]
    cells = pd.DataFrame({"date": "2026-11-20", "close": texts, "volume": texts}, dtype=str)
    return [outcome(decimal_mark, cells, ";"), *(outcome(numbers_of, cells, *how) for how in HOW)]


def outcome(action, *arguments):
    """What is found, or how the refusal begins, without the sign; as text, in which -0.0 differs from 0.0."""
    try:
        found = action(*arguments)
    except NotPrices as refusal:
        return str(refusal).replace("$", "")[:70]  # it quotes so many characters, of which the sign is one
    return found if isinstance(found, str) else repr(found.tolist())


@settings(deadline=None)
@given(columns)
@example(["1.5", "2"])
@example(["1.234", "2.345"])  # either mark may be meant
@example(["-0", "1"])  # 0 without a sign, as all numbers are whole
@example(["1", "x"])
@example(["0.1000000000000000055511151231257827"])
def test_numbers_and_the_decimal_mark_do_not_depend_on_the_way(column):
    assert read(column) == read(column, "$")


@settings(deadline=None)
@given(st.lists(plain, min_size=1))
def test_a_plain_number_is_the_nearest_float(column):
    assert read(column)[2] == repr([float(text) for text in column])
