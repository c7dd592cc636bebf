"""Every kind of answer that the provider is known to give becomes bars, splits or the right error."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

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
from stockml.prices.bars import Bars, Split
from stockml.provider.parsing import days_after, parse_daily, parse_splits
from stockml.redaction import redacted_bytes
from tests.support import PAYLOADS

FRIDAY = date(2026, 11, 20)
THURSDAY = date(2026, 11, 19)

SERIES = {
    # file: ticker, final bars at the close of 2026-11-20, oldest, newest
    "daily_adjusted_compact.json": ("IBM", 100, date(2026, 7, 2), FRIDAY),
    "daily_compact.json": ("IBM", 100, date(2026, 7, 2), FRIDAY),
    "daily_entitlement_delayed_partial_bar.json": ("IBM", 100, date(2026, 7, 2), FRIDAY),
    "daily_full_excerpt.json": ("IBM", 260, date(2025, 11, 10), FRIDAY),
    "daily_latest_volume_provisional.json": ("IBM", 100, date(2026, 7, 2), FRIDAY),
    "daily_legacy_2018_2020_intraday_refresh.json": ("AAPL", 2, date(2026, 11, 18), THURSDAY),
    "daily_short_history_new_listing.json": ("NEWCO", 79, date(2026, 8, 3), FRIDAY),
    "daily_stale_delisted.json": ("GONE", 100, date(2026, 2, 13), date(2026, 7, 9)),
    "daily_with_split_unadjusted.json": ("SPLT", 100, date(2026, 7, 2), FRIDAY),
}
SPLITS = {
    "splits.json": ("IBM", (Split(date(1999, 5, 27), 2.0), Split(date(2021, 11, 4), 1.046))),
    "splits_empty_INFERRED.json": ("NEWCO", ()),
}
REFUSALS: dict[str, tuple[type[FeedError], str]] = {
    # file: the type, and what its text must say
    "daily_adjusted_compact.csv": (NoData, "timestamp,open"),
    "daily_compact.csv": (NoData, "timestamp,open"),
    "detail_405_post.json": (NoData, "POST"),
    "detail_406_accept.json": (NoData, "Accept header"),
    "dividends.csv": (NoData, "ex_dividend_date"),
    "dividends.json": (NoData, "ex_dividend_date"),
    "empty_object.json": (NoData, "{}"),
    "err_apikey_missing.json": (BadKey, "ALPHAVANTAGE_API_KEY"),
    "err_apikey_missing_old.json": (BadKey, "ALPHAVANTAGE_API_KEY"),
    "err_bad_function.json": (NoData, "does not exist"),
    "err_intraday_internal_2017.json": (NoData, "internal or external error"),
    "err_invalid_symbol.json": (UnknownSymbol, "unknown symbol?"),
    "html_503_heroku_2018.html": (NoData, "<!DOCTYPE html>"),
    "info_2018_call_frequency.json": (NoData, "call frequency"),
    "info_2018_call_volume.json": (NoData, "call volume"),
    "info_burst_free_1rps.json": (RateLimited, "1 request per second"),
    "info_contact_premium.json": (NoData, "call volume"),
    "info_daily_limit_2024.json": (QuotaSpent, "25 requests per day"),
    "info_daily_limit_key.json": (QuotaSpent, "25 requests per day"),
    "info_demo_key.json": (BadKey, "get a free key at alphavantage.co"),
    "info_demo_key_2rps.json": (RateLimited, "2 requests per second"),
    "info_outputsize_full_premium.json": (PremiumOnly, "outputsize=full"),
    "info_premium_burst.json": (RateLimited, "Burst pattern"),
    "info_premium_endpoint.json": (PremiumOnly, "TIME_SERIES_DAILY"),
    "info_premium_minute_limit.json": (RateLimited, "Minute-level"),
    "note_5_per_min_500_per_day_2018_2023.json": (RateLimited, "5 calls per minute"),
    "premium_artificial_200.json": (NoData, "ARTIFICIAL"),
    "splits.csv": (NoData, "effective_date"),
}
WAIT_S = {
    "info_burst_free_1rps.json": (1, 2),
    "info_demo_key_2rps.json": (1, 2),
    "info_premium_burst.json": (1, 2),
    "info_premium_minute_limit.json": (65, 70),
    "note_5_per_min_500_per_day_2018_2023.json": (65, 70),
}


def parsed(content: bytes, ticker: str = "IBM", last_final: date = FRIDAY) -> Bars:
    return parse_daily(content, ticker, last_final=last_final)


def newest_of(bars: Bars) -> date:
    newest: date = bars.index[-1].date()
    return newest


def test_the_tables_name_every_payload_file() -> None:
    files = {path.name for path in PAYLOADS.iterdir() if path.name != "README.md"}
    assert files == {*SERIES, *SPLITS, *REFUSALS}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_becomes_ascending_bars_with_the_numbers_of_the_file(name: str) -> None:
    ticker, count, oldest, newest = SERIES[name]
    content = (PAYLOADS / name).read_bytes()
    bars = parsed(content, ticker)
    assert (len(bars), bars.index[0].date(), bars.index[-1].date()) == (count, oldest, newest)
    assert bars.index.is_monotonic_increasing
    assert bars.index.is_unique
    assert (bars.index.name, bars.index.tz, [str(t) for t in bars.dtypes]) == (
        "session",
        None,
        ["float64"] * 5,
    )
    series = json.loads(content)["Time Series (Daily)"]
    for day, row in zip(bars.index, bars.to_numpy(), strict=True):
        values = [
            v
            for k, v in series[f"{day:%Y-%m-%d}"].items()
            if k[3:] in {"open", "high", "low", "close", "volume"}
        ]
        np.testing.assert_array_equal(row, [float(v) for v in values])


@pytest.mark.parametrize("parse", [parsed, parse_splits], ids=["daily", "splits"])
@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "dividends.json"])
def test_a_refusal_raises_its_own_type(name: str, parse: Callable[[bytes, str], object]) -> None:
    expected, text = REFUSALS[name]
    with pytest.raises(FeedError) as caught:
        parse((PAYLOADS / name).read_bytes(), "IBM")
    assert type(caught.value) is expected
    if expected is PremiumOnly and name == "info_premium_endpoint.json":
        text = "TIME_SERIES_DAILY" if parse is parsed else "SPLITS"
    assert text in str(caught.value)
    if isinstance(caught.value, RateLimited):
        low, high = WAIT_S[name]
        assert low <= caught.value.wait_s <= high


@pytest.mark.parametrize("key", ["apikey", "invalid", "missing"])
def test_a_refused_key_is_recognised_even_if_redacting_it_removed_words_of_the_refusal(
    key: str,
) -> None:
    content = (PAYLOADS / "err_apikey_missing.json").read_bytes()
    with pytest.raises(BadKey):
        parsed(redacted_bytes(content, key))


def test_dividends_are_neither_bars_nor_splits() -> None:
    content = (PAYLOADS / "dividends.json").read_bytes()
    with pytest.raises(NoData):
        parsed(content)
    with pytest.raises(BadPayload, match="effective_date"):
        parse_splits(content, "IBM")


def test_splits_are_no_bars() -> None:
    with pytest.raises(NoData):
        parsed((PAYLOADS / "splits.json").read_bytes())


def test_todays_unfinished_bar_is_dropped() -> None:
    content = (PAYLOADS / "daily_entitlement_delayed_partial_bar.json").read_bytes()
    assert newest_of(parsed(content, last_final=THURSDAY)) == THURSDAY


@pytest.mark.parametrize(("ticker", "echoed"), [("AAPL", b"aapl"), ("BRK.B", b"brk.b")])
def test_a_bar_refreshed_while_new_york_was_trading_is_dropped_even_if_parsed_later(
    ticker: str, echoed: bytes
) -> None:
    content = (
        (PAYLOADS / "daily_legacy_2018_2020_intraday_refresh.json")
        .read_bytes()
        .replace(b"aapl", echoed)
    )
    assert newest_of(parsed(content, ticker, last_final=FRIDAY)) < FRIDAY
    after_close = content.replace(b"14:07:03", b"16:00:00")
    assert newest_of(parsed(after_close, ticker, last_final=FRIDAY)) == FRIDAY


@pytest.mark.parametrize(
    ("at", "newest"), [("12:59:59", date(2025, 11, 26)), ("13:00:00", date(2025, 11, 28))]
)
def test_on_a_half_day_new_york_trades_until_one(at: str, newest: date) -> None:
    meta = {"2. Symbol": "IBM", "3. Last Refreshed": f"2025-11-28 {at}"}
    assert newest_of(parsed(answer({"2025-11-26": BAR, "2025-11-28": BAR}, meta))) == newest


def test_a_time_in_the_answer_says_nothing_about_an_exchange_that_closed_before_new_york() -> None:
    meta = {"2. Symbol": "TSCO.LON", "3. Last Refreshed": "2026-11-20 12:00:00"}
    assert newest_of(parsed(answer({"2026-11-20": BAR}, meta), "TSCO.LON")) == FRIDAY


def test_an_answer_with_only_an_unfinished_bar_is_no_data() -> None:
    with pytest.raises(NoData, match="unfinished"):
        parsed(answer({"2026-11-20": BAR}), last_final=THURSDAY)


BAR = {"1. open": "2.0", "2. high": "3.0", "3. low": "1.0", "4. close": "2.5", "5. volume": "10"}
META = {"2. Symbol": "IBM", "3. Last Refreshed": "2026-11-20"}


def answer(series: object, meta: object = META) -> bytes:
    return json.dumps({"Meta Data": meta, "Time Series (Daily)": series}).encode()


def bar(**changed: Any) -> dict[str, Any]:
    named = {name[3:]: name for name in BAR}
    return BAR | {named[name]: value for name, value in changed.items()}


@pytest.mark.parametrize("number", ["2", "2.5e0", "-1.0", 2.5])
def test_a_number_may_be_text_or_a_json_number(number: object) -> None:
    assert parsed(answer({"2026-11-20": bar(open=number)}))["open"].iloc[0] == float(str(number))


@pytest.mark.parametrize(
    "number", ["", "None", "nan", "-Infinity", "1e999", "1_000", " 1", "٣", "0x1", None, True, []]
)
@pytest.mark.parametrize("field", ["open", "volume"])
def test_a_cell_that_is_no_finite_number_is_unknown_and_the_others_are_kept(
    field: str, number: object
) -> None:
    expected = parsed(answer({"2026-11-19": BAR, "2026-11-20": BAR}))
    expected.loc["2026-11-20", field] = np.nan
    rows = {"2026-11-19": BAR, "2026-11-20": bar(**{field: number})}
    assert parsed(answer(rows)).equals(expected)


def test_a_day_that_is_yet_to_come_is_left_out_and_named() -> None:
    content = answer(
        {"2026-11-20": BAR, "2026-11-24": BAR}, META | {"3. Last Refreshed": "2026-11-24"}
    )
    assert newest_of(parsed(content)) == FRIDAY
    assert days_after(content, "IBM", FRIDAY) == (date(2026, 11, 24),)


@pytest.mark.parametrize("constant", ["NaN", "-Infinity", "1" * 5_000])
def test_a_json_number_that_is_not_finite_is_unknown(constant: str) -> None:
    content = answer({"2026-11-20": BAR}).replace(b'"2.5"', constant.encode())
    assert np.isnan(parsed(content)["close"].iloc[0])


def bar_on(day: str = "2026-11-20", row: object = BAR, **meta: str) -> bytes:
    named = {name[3:].partition(" ")[0].lower(): name for name in META}
    return answer({day: row}, META | {named[name]: value for name, value in meta.items()})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (bar_on(symbol="MSFT"), "series of IBM, found that of 'MSFT'"),
        (answer({"2026-11-20": BAR}, {}), "series of IBM, found that of 'None'"),
        (answer({"2026-11-20": BAR}, "none"), "'Meta Data'"),
        (bar_on(last="yesterday"), "'yesterday'"),
        (bar_on(last="2026-11-20 25:00:00"), "25:00:00"),
        (bar_on("2026-02-30"), "'2026-02-30'"),
        (bar_on("0001-01-01"), "'0001-01-01'"),
        (bar_on("20261120"), "'20261120'"),
        (bar_on(row={}), "'1. open' on 2026-11-20"),
        (bar_on(row={name: BAR[name] for name in list(BAR)[:4]}), "'5. volume' on 2026-11-20"),
        (bar_on(row="bar"), "a bar on 2026-11-20"),
        (bar_on().replace(b"4. close", b"3. low"), "3. low' twice"),
    ],
)
def test_a_series_that_must_not_be_stored_is_refused_by_name(content: bytes, what: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parsed(content)
    assert what in str(caught.value)
    assert "IBM" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff\xfe{\x00}\x00", b'{"Time Series (Daily)": {}}', b'{"a":' * 100_000],
    ids=lambda content: repr(content[:12]),
)
def test_anything_else_is_no_data(content: bytes) -> None:
    with pytest.raises(NoData):
        parsed(content)


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
        (
            splits_answer(split_entry("2020-01-02"), split_entry("2020-01-02", "3")),
            "found [2.0, 3.0] on 2020-01-02",
        ),
        (splits_answer(None), "effective_date, found 'None'"),
        (splits_answer().replace(b"IBM", b"MSFT"), "found that of 'MSFT'"),
    ],
)
def test_a_split_that_must_not_be_stored_is_refused_by_name(content: bytes, what: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_splits(content, "IBM")
    assert what in str(caught.value)


@pytest.mark.parametrize("content", [b'{"symbol": "IBM", "data": {}}', b'{"data": []}'])
def test_an_answer_without_symbol_and_list_is_none_about_splits(content: bytes) -> None:
    with pytest.raises(NoData):
        parse_splits(content, "IBM")
