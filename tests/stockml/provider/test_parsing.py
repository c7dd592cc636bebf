"""Every kind of answer that the provider is known to give becomes bars, splits or the right error."""

import json
from datetime import date

import numpy as np
import pytest

from stockml.errors import (
    BadKey,
    BadPayload,
    FeedError,
    NoData,
    PremiumOnly,
    QuotaSpent,
    RateLimited,
    UnknownSymbol,
)
from stockml.prices.bars import Split
from stockml.provider.parsing import days_after, parse_daily, parse_splits
from stockml.redaction import redacted_bytes
from tests.support import PAYLOADS

FRIDAY = date(2026, 11, 20)
THURSDAY = date(2026, 11, 19)

SERIES = {
    # file: ticker, final bars at the close of 2026-11-20, oldest, newest
    "daily_adjusted_compact.json": ("IBM", 100, "2026-07-02", "2026-11-20"),
    "daily_compact.json": ("IBM", 100, "2026-07-02", "2026-11-20"),
    "daily_entitlement_delayed_partial_bar.json": ("IBM", 100, "2026-07-02", "2026-11-20"),
    "daily_full_excerpt.json": ("IBM", 260, "2025-11-10", "2026-11-20"),
    "daily_latest_volume_provisional.json": ("IBM", 100, "2026-07-02", "2026-11-20"),
    "daily_legacy_2018_2020_intraday_refresh.json": ("AAPL", 2, "2026-11-18", "2026-11-19"),
    "daily_short_history_new_listing.json": ("NEWCO", 79, "2026-08-03", "2026-11-20"),
    "daily_stale_delisted.json": ("GONE", 100, "2026-02-13", "2026-07-09"),
    "daily_with_split_unadjusted.json": ("SPLT", 100, "2026-07-02", "2026-11-20"),
}
SPLITS = {
    "splits.json": ("IBM", (Split(date(1999, 5, 27), 2.0), Split(date(2021, 11, 4), 1.046))),
    "splits_empty_INFERRED.json": ("NEWCO", ()),
}
REFUSALS = {
    # the error's type: each file that is answered by it, and what its text must say
    NoData: {
        "daily_adjusted_compact.csv": "timestamp,open",
        "daily_compact.csv": "timestamp,open",
        "detail_405_post.json": "POST",
        "detail_406_accept.json": "Accept header",
        "dividends.csv": "ex_dividend_date",
        "dividends.json": "ex_dividend_date",
        "empty_object.json": "{}",
        "err_bad_function.json": "does not exist",
        "err_intraday_internal_2017.json": "internal or external error",
        "html_503_heroku_2018.html": "<!DOCTYPE html>",
        "info_2018_call_frequency.json": "call frequency",
        "info_2018_call_volume.json": "call volume",
        "info_contact_premium.json": "call volume",
        "premium_artificial_200.json": "ARTIFICIAL",
        "splits.csv": "effective_date",
    },
    BadKey: {
        "err_apikey_missing.json": "ALPHAVANTAGE_API_KEY",
        "err_apikey_missing_old.json": "ALPHAVANTAGE_API_KEY",
        "info_demo_key.json": "get a free key at alphavantage.co",
    },
    UnknownSymbol: {"err_invalid_symbol.json": "unknown symbol?"},
    RateLimited: {
        "info_burst_free_1rps.json": "1 request per second",
        "info_demo_key_2rps.json": "2 requests per second",
        "info_premium_burst.json": "Burst pattern",
        "info_premium_minute_limit.json": "Minute-level",
        "note_5_per_min_500_per_day_2018_2023.json": "5 calls per minute",
    },
    QuotaSpent: {
        "info_daily_limit_2024.json": "25 requests per day",
        "info_daily_limit_key.json": "25 requests per day",
    },
    PremiumOnly: {
        "info_outputsize_full_premium.json": "outputsize=full",
        "info_premium_endpoint.json": "TIME_SERIES_DAILY",
    },
}
EXPECTED = {name: (kind, text) for kind, texts in REFUSALS.items() for name, text in texts.items()}


def parsed(content, ticker="IBM", last_final=FRIDAY):
    return parse_daily(content, ticker, last_final=last_final)


def newest_of(bars):
    return bars.index[-1].date()


def test_the_tables_name_every_payload_file():
    files = {path.name for path in PAYLOADS.iterdir() if path.name != "README.md"}
    assert files == {*SERIES, *SPLITS, *EXPECTED}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_becomes_ascending_bars_with_the_numbers_of_the_file(name):
    ticker, count, oldest, newest = SERIES[name]
    content = (PAYLOADS / name).read_bytes()
    bars = parsed(content, ticker)
    days = bars.index.strftime("%Y-%m-%d").tolist()
    assert (len(days), days[0], days[-1]) == (count, oldest, newest)
    assert days == sorted(set(days))
    assert (bars.index.name, bars.index.tz, set(map(str, bars.dtypes))) == (
        "session",
        None,
        {"float64"},
    )
    series = json.loads(content)["Time Series (Daily)"]
    for day, row in zip(days, bars.to_numpy().tolist(), strict=True):
        assert row == [float(v) for name, v in series[day].items() if name[3:] in bars.columns]


@pytest.mark.parametrize("parse", [parsed, parse_splits], ids=["daily", "splits"])
@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "dividends.json"])
def test_a_refusal_raises_its_own_type(name, parse):
    expected, text = EXPECTED[name]
    with pytest.raises(FeedError) as caught:
        parse((PAYLOADS / name).read_bytes(), "IBM")
    assert type(caught.value) is expected
    if expected is PremiumOnly and name == "info_premium_endpoint.json":
        text = "TIME_SERIES_DAILY" if parse is parsed else "SPLITS"
    assert text in str(caught.value)


@pytest.mark.parametrize("key", ["apikey", "invalid", "missing"])
def test_a_refused_key_is_recognised_even_if_redacting_it_removed_words_of_the_refusal(key):
    content = (PAYLOADS / "err_apikey_missing.json").read_bytes()
    with pytest.raises(BadKey):
        parsed(redacted_bytes(content, key))


def test_an_answer_about_something_else_is_none_of_the_question():
    dividends, splits = (
        (PAYLOADS / f"{name}.json").read_bytes() for name in ("dividends", "splits")
    )
    for content in (dividends, splits):
        with pytest.raises(NoData):
            parsed(content)
    with pytest.raises(BadPayload, match="effective_date"):
        parse_splits(dividends, "IBM")


def test_todays_unfinished_bar_is_dropped():
    content = (PAYLOADS / "daily_entitlement_delayed_partial_bar.json").read_bytes()
    assert newest_of(parsed(content, last_final=THURSDAY)) == THURSDAY


@pytest.mark.parametrize(("ticker", "echoed"), [("AAPL", b"aapl"), ("BRK.B", b"brk.b")])
def test_a_bar_refreshed_while_new_york_was_trading_is_dropped_even_if_parsed_later(ticker, echoed):
    path = PAYLOADS / "daily_legacy_2018_2020_intraday_refresh.json"
    content = path.read_bytes().replace(b"aapl", echoed)
    assert newest_of(parsed(content, ticker, last_final=FRIDAY)) < FRIDAY
    after_close = content.replace(b"14:07:03", b"16:00:00")
    assert newest_of(parsed(after_close, ticker, last_final=FRIDAY)) == FRIDAY


@pytest.mark.parametrize(
    ("ticker", "refreshed", "is_over"),
    [
        ("IBM", "2025-11-28 12:59:59", False),  # on a half day, New York trades until one
        ("IBM", "2025-11-28 13:00:00", True),
        ("TSCO.LON", "2026-11-20 12:00:00", True),  # London closed before New York
    ],
)
def test_a_bar_counts_once_its_own_exchange_has_closed(ticker, refreshed, is_over):
    meta = {"2. Symbol": ticker, "3. Last Refreshed": refreshed}
    bars = parsed(answer({"1900-01-01": BAR, refreshed[:10]: BAR}, meta), ticker)
    assert len(bars) == 1 + is_over


def test_an_answer_with_only_an_unfinished_bar_is_no_data():
    with pytest.raises(NoData, match="unfinished"):
        parsed(answer({"2026-11-20": BAR}), last_final=THURSDAY)


BAR = {"1. open": "2.0", "2. high": "3.0", "3. low": "1.0", "4. close": "2.5", "5. volume": "10"}
META = {"2. Symbol": "IBM", "3. Last Refreshed": "2026-11-20"}


def answer(series, meta=META):
    return json.dumps({"Meta Data": meta, "Time Series (Daily)": series}).encode()


UNKNOWN = (
    *('""', '"None"', '"nan"', '"-Infinity"', '"1e999"', '"1_000"', '" 1"', '"٣"', '"0x1"'),
    *("null", "true", "[]", "NaN", "-Infinity", "1" * 5_000),
)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ('"2"', 2),
        ('"2.5e0"', 2.5),
        ('"-1.0"', -1),
        ("2.5", 2.5),
        *((text, np.nan) for text in UNKNOWN),
    ],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("field", ["open", "volume"])
def test_a_cell_that_is_no_finite_number_is_unknown_and_the_others_are_kept(field, number, value):
    rows = {"2026-11-19": BAR, "2026-11-20": BAR}
    expected = parsed(answer(rows))
    expected.loc["2026-11-20", field] = value
    (name,) = (name for name in BAR if name.endswith(field))
    content = answer(rows | {"2026-11-20": BAR | {name: "changed"}})
    assert parsed(content.replace(b'"changed"', number.encode())).equals(expected)


def test_a_day_that_is_yet_to_come_is_left_out_and_named():
    content = answer(
        {"2026-11-20": BAR, "2026-11-24": BAR}, META | {"3. Last Refreshed": "2026-11-24"}
    )
    assert newest_of(parsed(content)) == FRIDAY
    assert list(map(str, days_after(content, "IBM", FRIDAY))) == ["2026-11-24"]


def bar_on(day="2026-11-20", row=BAR, symbol="IBM", last="2026-11-20"):
    return answer({day: row}, {"2. Symbol": symbol, "3. Last Refreshed": last})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (bar_on(symbol="MSFT"), "series of IBM, found that of 'MSFT'"),
        (answer({"2026-11-20": BAR}, {}), "series of IBM, found that of 'None'"),
        (answer({"2026-11-20": BAR}, "none"), "'Meta Data'"),
        (bar_on(last="yesterday"), "'yesterday'"),
        (bar_on(last="2026-11-20 25:00:00"), "25:00:00"),
        (bar_on("2026-02-30"), "'2026-02-30'"),
        (bar_on("1899-12-31"), "'1899-12-31'"),
        (bar_on("20261120"), "'20261120'"),
        (bar_on(row={}), "'1. open' on 2026-11-20"),
        (bar_on(row={name: BAR[name] for name in list(BAR)[:4]}), "'5. volume' on 2026-11-20"),
        (bar_on(row="bar"), "a bar on 2026-11-20"),
        (bar_on().replace(b"4. close", b"3. low"), "3. low' twice"),
    ],
)
def test_a_series_that_must_not_be_stored_is_refused_by_name(content, what):
    with pytest.raises(BadPayload) as caught:
        parsed(content)
    assert what in str(caught.value)
    assert "IBM" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{", b"\xff\xfe{\x00}\x00", b'{"a":' * 100_000),
        *(b'{"Time Series (Daily)": {}}', b'{"symbol": "IBM", "data": {}}', b'{"data": []}'),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_anything_else_is_no_data(content):
    for parse in (parsed, parse_splits):
        with pytest.raises(NoData):
            parse(content, "IBM")


@pytest.mark.parametrize("name", SPLITS)
def test_splits_come_oldest_first(name):
    ticker, expected = SPLITS[name]
    assert parse_splits((PAYLOADS / name).read_bytes(), ticker) == expected


DAY = "2020-01-02"


def listed(*splits):
    entries = [{"effective_date": day, "split_factor": factor} for day, factor in splits]
    return json.dumps({"symbol": "IBM", "data": entries}).encode()


@pytest.mark.parametrize(
    ("splits", "factor"),
    [
        ([("None", "2.0000"), (DAY, "0.1000")], 0.1),
        # a split and a spin-off of one day act together
        ([(DAY, "2.0000"), (DAY, "1.05")], 2.1),
        ([(DAY, "1.05"), (DAY, "2.0000")], 2.1),
        # listed twice
        ([(DAY, "2.0000"), (DAY, "2")], 2.0),
        ([(DAY, "0.33333"), (DAY, "0.3333")], 0.33333),
    ],
)
def test_a_day_has_one_split_and_one_without_a_day_is_skipped(splits, factor):
    """Each night of the share was refused, as long as the provider listed it so."""
    assert parse_splits(listed(*splits), "IBM") == (Split(date(2020, 1, 2), pytest.approx(factor)),)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (listed(("2020-13-01", "2")), "'2020-13-01'"),
        (listed((DAY, "None")), "above 0, found 'None' on 2020-01-02"),
        (listed((DAY, "2.0000"), (DAY, "3")), "found [2.0, 3.0] on 2020-01-02"),
        (listed((DAY, "2")).replace(b"effective_", b""), "effective_date, found \"{'date"),
        (listed().replace(b"IBM", b"MSFT"), "found that of 'MSFT'"),
    ],
)
def test_a_split_that_must_not_be_stored_is_refused_by_name(content, what):
    with pytest.raises(BadPayload) as caught:
        parse_splits(content, "IBM")
    assert what in str(caught.value)
