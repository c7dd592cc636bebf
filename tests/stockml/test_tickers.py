"""A ticker is read in upper case, and one that is unsafe in a path or a URL is refused."""

import pytest

from stockml.errors import InvalidTicker
from stockml.tickers import exchange, validated_ticker, without_ticker


@pytest.mark.parametrize("text", ["ibm", " IBM ", "BRK-B", "TSCO.LON", "600104.SHH"])
def test_a_ticker_is_read_in_upper_case(text: str) -> None:
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
def test_a_ticker_that_is_unsafe_in_a_path_or_a_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidTicker, match="expected a ticker"):
        validated_ticker(text)


def test_a_ticker_is_left_out_where_it_stands_at_the_beginning_alone() -> None:
    for why, expected in {
        "KO: today's requests are used up": "today's requests are used up",
        "NoData: KO: expected": "NoData: expected",
        "NoData: KOO: expected, KO: found": "NoData: KOO: expected, KO: found",
        "training diverged": "training diverged",
    }.items():
        assert without_ticker("KO", why) == expected


def test_the_currency_is_that_of_the_exchange_and_a_share_class_is_no_exchange() -> None:
    tickers = ("IBM", "BRK-B", "BRK.B", "brk.a", "TSCO.LON", "SHOP.TRT", "7203.TYO", "TSCO.L")
    assert [exchange(ticker)[1] for ticker in tickers] == [
        "$",
        "$",
        "$",
        "$",
        "pence",
        "C$",
        "",
        "",
    ]
