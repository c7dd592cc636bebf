"""The vocabulary: a replay's clock stands; an unsafe ticker is refused; a key in a text is
recognised and left out."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml import clock
from stockml.errors import InvalidSetting, InvalidTicker
from stockml.redaction import brief, excerpt, redacted
from stockml.tickers import exchange, validated_ticker, without_ticker


def test_a_replays_clock_stands_at_the_moment_it_names_and_it_alone_skips_waiting():
    replay, waited = {"STOCKML_CLOCK": "2013-03-01T23:00:00-05:00"}, []
    assert clock.now(replay) == datetime(2013, 3, 2, 4, tzinfo=UTC)
    for environ, expected in ((replay, []), ({}, [1_800.0])):
        clock.wait(1_800.0, environ, sleep=waited.append)
        assert waited == expected


@pytest.mark.parametrize(
    "named",
    [
        "yesterday",
        "2013-03-01T23:00:00",
        "1900-01-01T00:00+14:00",
        "2200-12-31T23:59-12:00",
    ],
)
def test_a_moment_without_an_offset_or_outside_1900_to_2200_is_refused(named):
    with pytest.raises(InvalidSetting, match="UTC offset"):
        clock.now({"STOCKML_CLOCK": named})


@pytest.mark.parametrize("text", ["ibm", " IBM ", "BRK-B", "TSCO.LON", "600104.SHH"])
def test_a_ticker_is_read_in_upper_case(text):
    assert validated_ticker(text) == text.strip().upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../IBM",
        "IBM;ls",
        "IBM&apikey=x",
        "I BM",
        ".IBM",
        "CON",
        "ÄB",
        "ıBM",
    ],
)
def test_a_ticker_that_is_unsafe_in_a_path_or_a_url_is_refused(text):
    with pytest.raises(InvalidTicker, match="expected a ticker"):
        validated_ticker(text)


def test_a_ticker_is_left_out_where_it_stands_at_the_beginning_alone():
    for why, expected in {
        "KO: today's requests are used up": "today's requests are used up",
        "NoData: KO: expected": "NoData: expected",
        "NoData: KOO: expected, KO: found": "NoData: KOO: expected, KO: found",
        "training diverged": "training diverged",
    }.items():
        assert without_ticker("KO", why) == expected


def test_the_currency_is_that_of_the_exchange_and_a_share_class_is_no_exchange():
    tickers = ("IBM", "BRK-B", "BRK.B", "brk.a", "TSCO.LON", "SHOP.TRT", "7203.TYO", "TSCO.L")
    assert [exchange(ticker)[1] for ticker in tickers] == [*4 * ["$"], "pence", "C$", "", ""]


@given(
    found=st.text(),
    advice=st.text(st.characters(exclude_characters=";"), max_size=40),
    length=st.integers(80, 200),
)
def test_what_is_cut_is_no_longer_than_asked_and_keeps_the_advice(found, advice, length):
    said = brief(f"{found}; {advice}", length)
    assert len(said) <= length
    assert "\n" not in said
    assert said.endswith(excerpt(advice)) or not advice.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /query?symbol=IBM&apikey=ABC123&x=1", "GET /query?symbol=IBM&apikey=***&x=1"),
        ("apikey%3DABC123", "apikey%3D***"),
        ("detected your API key as ABC123 and our", "detected your API key as *** and our"),
        (json.dumps({"apikey": "ABC123"}), '{"apikey": "***"}'),
        (
            "the parameter apikey is invalid or missing",
            "the parameter apikey is invalid or missing",
        ),
    ],
)
def test_a_key_is_recognised_by_its_context(text, expected):
    assert redacted(text) == expected
