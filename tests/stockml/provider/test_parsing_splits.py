"""An answer about splits becomes splits, oldest first, or an error that names what is wrong."""

import json
from datetime import date

import pytest

from stockml.errors import BadPayload, NoData
from stockml.prices.bars import Split
from stockml.provider.parsing import parse_splits
from tests.support import PAYLOADS

SPLITS = {
    "splits.json": ("IBM", (Split(date(1999, 5, 27), 2.0), Split(date(2021, 11, 4), 1.046))),
    "splits_empty_INFERRED.json": ("NEWCO", ()),
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_come_oldest_first(name: str) -> None:
    ticker, expected = SPLITS[name]
    assert parse_splits((PAYLOADS / name).read_bytes(), ticker) == expected


def splits_answer(*entries: object) -> bytes:
    return json.dumps({"symbol": "IBM", "data": entries}).encode()


def split_entry(day: object, factor: object = "2.0000") -> dict[str, object]:
    return {"effective_date": day, "split_factor": factor}


def test_a_split_without_a_date_is_skipped() -> None:
    content = splits_answer(split_entry("None"), split_entry("2020-01-02", "0.1000"))
    assert parse_splits(content, "IBM") == (Split(date(2020, 1, 2), 0.1),)


def test_two_splits_of_a_day_act_together() -> None:
    """As of a split and a spin-off: every night of the share was refused for as long as both were
    listed."""
    both = [split_entry("2020-01-02"), split_entry("2020-01-02", "1.05")]
    for listed in (both, both[::-1]):
        assert parse_splits(splits_answer(*listed), "IBM") == (
            Split(date(2020, 1, 2), pytest.approx(2.1)),
        )


def test_a_split_that_is_listed_twice_is_one_split() -> None:
    """Each night of the share was refused, as long as the provider listed it so."""
    for first, again in (("2.0000", "2"), ("0.33333", "0.3333")):
        content = splits_answer(split_entry("2020-01-02", first), split_entry("2020-01-02", again))
        assert parse_splits(content, "IBM") == (Split(date(2020, 1, 2), float(first)),)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (splits_answer(split_entry("2020-13-01")), "'2020-13-01'"),
        (splits_answer(split_entry("2020-01-02", "None")), "above 0, found 'None' on 2020-01-02"),
        (splits_answer(split_entry("2020-01-02", "0.0000")), "above 0"),
        (splits_answer(split_entry("2020-01-02", "-2")), "above 0"),
        (
            splits_answer(split_entry("2020-01-02"), split_entry("2020-01-02", "3")),
            "found [2.0, 3.0] on 2020-01-02",
        ),
        (splits_answer("2020-01-02"), "effective_date"),
        (splits_answer(None), "effective_date, found 'None'"),
        (splits_answer().replace(b"IBM", b"MSFT"), "found that of 'MSFT'"),
    ],
)
def test_a_split_that_must_not_be_stored_is_refused_by_name(content: bytes, what: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_splits(content, "IBM")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "content", [b'{"symbol": "IBM"}', b'{"symbol": "IBM", "data": {}}', b'{"data": []}']
)
def test_an_answer_without_symbol_and_list_is_none_about_splits(content: bytes) -> None:
    with pytest.raises(NoData):
        parse_splits(content, "IBM")
