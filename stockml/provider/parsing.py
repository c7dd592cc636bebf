"""Parse the provider's bytes into bars, splits or the typed error of a refusal. Pure: no clock,
network or disk."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

import numpy as np

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
from stockml.prices.bars import COLUMNS, Bars, Split, make_bars
from stockml.prices.calendar import Sessions
from stockml.redaction import excerpt
from stockml.tickers import exchange, spelling

DAILY = "TIME_SERIES_DAILY"
SPLITS = "SPLITS"
SERIES = "Time Series (Daily)"
MIN_SPLIT = 1.25  # or its inverse: a factor nearer to 1 is a spin-off's or a stock dividend's
FIRST_DATE = date(1900, 1, 1)
REGULAR_CLOSE, EARLY_CLOSE = time(16, 0), time(13, 0)
NEW_YORK = Sessions("XNYS")

FIELDS = ("1. open", "2. high", "3. low", "4. close")
VOLUMES = ("5. volume", "6. volume")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
REFRESHED = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?: ([0-9]{2}:[0-9]{2}:[0-9]{2}))?")

BURST_WAIT_S = 1.5
MINUTE_WAIT_S = 65.0

NOTICE_FIELDS = ("Error Message", "Information", "Note")
ADDRESS = re.compile(r"https?://\S+")
# a key can be one of these words
REFUSED_KEY = re.compile(r"(apikey|\*{3}) is (invalid|\*{3}) or (missing|\*{3})")
PARAMETER = re.compile(r"the (\S+=\S+) parameter", re.IGNORECASE)


def parse_daily(content: bytes, ticker: str, *, last_final: date) -> Bars:
    """The final bars, raw as traded, in an answer to TIME_SERIES_DAILY (or _ADJUSTED, whose raw
    columns are used).

    last_final: the newest session whose bar is final; a later one is dropped. In an answer
    refreshed before New York's close (a time in `3. Last Refreshed`) that day's bar is dropped too,
    whatever `last_final` says. A value that is no finite number is NaN. Raises BadPayload, NoData,
    or the error that the provider's refusal stands for.
    """
    answer = answered(content, ticker, DAILY)
    metadata = answer.get("Meta Data")
    if not isinstance(metadata, dict):
        raise BadPayload(ticker, "expected 'Meta Data' beside the series, found none")
    _check_symbol(metadata.get("2. Symbol"), ticker)
    unfinished = _unfinished(metadata.get("3. Last Refreshed"), ticker)
    rows = {_day(name, ticker): answer[SERIES][name] for name in sorted(answer[SERIES])}
    final = {day: row for day, row in rows.items() if day <= last_final and day != unfinished}
    if not final:
        raise NoData(ticker, f"only unfinished bars, the newest of {max(rows)}")
    numbers = np.array([_row(row, day, ticker) for day, row in final.items()])
    return make_bars(list(final), dict(zip(COLUMNS, np.ascontiguousarray(numbers.T), strict=True)))


def days_after(content: bytes, ticker: str, today: date) -> tuple[date, ...]:
    """The days in an answer to TIME_SERIES_DAILY that are yet to come at the exchange. Raises as
    `parse_daily`."""
    return tuple(
        day
        for day in (_day(name, ticker) for name in answered(content, ticker, DAILY)[SERIES])
        if day > today
    )


def parse_splits(content: bytes, ticker: str) -> tuple[Split, ...]:
    """The splits in an answer to SPLITS, with spin-offs and announced ones. Raises BadPayload,
    NoData or a refusal.

    Spin-offs act together with a split of their day; a factor that is listed twice, perhaps
    rounded, acts once.
    """
    answer = answered(content, ticker, SPLITS)
    _check_symbol(answer["symbol"], ticker)
    factors = defaultdict[date, list[float]](list)
    for entry in answer["data"]:
        if not isinstance(entry, dict) or "effective_date" not in entry:
            raise BadPayload(
                ticker, f"expected a split with an effective_date, found {excerpt(str(entry))!r}"
            )
        if entry["effective_date"] == "None":
            continue
        effective = _day(entry["effective_date"], ticker)
        factor = split_factor(entry.get("split_factor"), effective, ticker)
        day_factors = factors[effective]
        if not any(math.isclose(factor, each, rel_tol=0.01) for each in day_factors):
            day_factors.append(factor)
        if sum(max(each, 1 / each) >= MIN_SPLIT for each in day_factors) > 1:
            raise BadPayload(
                ticker,
                f"expected one split a day beside spin-offs, found {day_factors} on {effective}",
            )
    return tuple(Split(day, math.prod(factors[day])) for day in sorted(factors))


def answered(content: bytes, ticker: str, function: str) -> dict[str, Any]:
    """The answer with the wanted series, its numbers as text.

    Raises BadPayload if a name repeats, NoData if there is no JSON object, else the error that a
    refusal stands for.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise BadPayload(
                ticker, f"expected each date and field once, found {excerpt(repeated)!r} twice"
            )
        return fields

    try:
        parsed = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=unique,
            parse_float=str,
            parse_int=str,
            parse_constant=str,
        )
    except (ValueError, RecursionError):
        parsed = None
    answer = parsed if isinstance(parsed, dict) else {}
    if function == SPLITS:
        is_complete = isinstance(answer.get("symbol"), str) and isinstance(answer.get("data"), list)
    else:
        is_complete = isinstance(answer.get(SERIES), dict) and bool(answer[SERIES])
    if not is_complete:
        raise refusal(answer, ticker, function, content[:1_000].decode("utf-8", "replace"))
    return answer


def refusal(answer: Mapping[str, Any], ticker: str, function: str, shown: str) -> FeedError:
    """The error that an answer without the wanted series stands for; `shown` is its text.

    The order matters: the burst notice also says "25 requests per day" and "premium". URLs in a
    notice are ignored: a transient fault of 2017 cites a link with `apikey=demo` in it. An answer
    that has `message` or `detail` instead of a notice, even with sample rows, is NoData.
    """
    notices = [str(answer[field]) for field in NOTICE_FIELDS if isinstance(answer.get(field), str)]
    notice_text = ADDRESS.sub(" ", " ".join(notices)).lower()
    notice = excerpt(" ".join(notices) or shown)

    def says(*phrases: str) -> bool:
        return any(phrase in notice_text for phrase in phrases)

    error: FeedError
    if says("per second", "spreading out"):
        error = RateLimited(ticker, notice, BURST_WAIT_S)
    elif says("standard api rate limit is") or (says("calls per day") and not says("per minute")):
        error = QuotaSpent(ticker, notice)
    elif says("minute-level", "burst pattern", "calls per minute"):
        error = RateLimited(ticker, notice, MINUTE_WAIT_S)
    elif says("premium endpoint", "premium feature"):
        feature = PARAMETER.search(" ".join(notices))
        error = PremiumOnly(ticker, excerpt(feature[1]) if feature else function)
    elif says("demo"):
        error = BadKey(ticker, "the demo key, which only answers the documentation's own examples")
    elif REFUSED_KEY.search(notice_text):
        error = BadKey(ticker, "one that the provider calls invalid or missing")
    elif says("invalid api call"):
        error = UnknownSymbol(ticker, notice, spelling(ticker))
    else:
        error = NoData(ticker, notice)
    return error


def _check_symbol(symbol: object, ticker: str) -> None:
    """Raise BadPayload unless the answer echoes the ticker; `BRK.B` and `BRK-B` are the same."""
    if not isinstance(symbol, str) or _folded(symbol) != _folded(ticker):
        raise BadPayload(
            ticker, f"expected the series of {ticker}, found that of {excerpt(str(symbol))!r}"
        )


def _folded(symbol: str) -> str:
    return symbol.strip().upper().replace(".", "-")


def _unfinished(refreshed: object, ticker: str) -> date | None:
    """The day in `3. Last Refreshed`, if its time is before New York's close; else None. Raises
    BadPayload."""
    match = REFRESHED.fullmatch(refreshed) if isinstance(refreshed, str) else None
    if match is None:
        raise BadPayload(
            ticker, f"expected a date in '3. Last Refreshed', found {excerpt(str(refreshed))!r}"
        )
    day = _day(match[1], ticker)
    try:
        at = time.fromisoformat(match[2]) if match[2] else None
    except ValueError:
        raise BadPayload(
            ticker, f"expected a time in '3. Last Refreshed', found {match[2]!r}"
        ) from None
    # The zone is given as US/Eastern for every exchange: only for New York's is that known to be
    # true.
    if at is None or at >= REGULAR_CLOSE or exchange(ticker)[0] != NEW_YORK.name:
        return None
    return None if at >= EARLY_CLOSE and NEW_YORK.is_half_day(day) else day


def _day(text: object, ticker: str) -> date:
    try:
        day = date.fromisoformat(text) if isinstance(text, str) and DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day < FIRST_DATE:
        raise BadPayload(ticker, f"expected a date as YYYY-MM-DD, found {excerpt(str(text))!r}")
    return day


def _row(values: object, day: date, ticker: str) -> list[float]:
    if not isinstance(values, dict):
        raise BadPayload(ticker, f"expected a bar on {day}, found {excerpt(str(values))!r}")
    volume = next((name for name in VOLUMES if name in values), VOLUMES[0])
    return cells(values, (*FIELDS, volume), day, ticker)


def cells(values: Mapping[str, Any], names: Sequence[str], day: date, ticker: str) -> list[float]:
    """The numbers of a day's fields. Raises BadPayload if one is absent."""
    if absent := [name for name in names if name not in values]:
        raise BadPayload(ticker, f"expected {absent[0]!r} on {day}, found no such field")
    return [_number(values[name]) for name in names]


def split_factor(value: object, day: date, ticker: str) -> float:
    """The factor of a day's split. Raises BadPayload unless it is a finite number above 0."""
    if not (factor := _number(value)) > 0:
        raise BadPayload(
            ticker, f"expected a split factor above 0, found {excerpt(str(value))!r} on {day}"
        )
    return factor


def _number(value: object) -> float:
    """A number that came as text; NaN for anything else, and for one that is not finite."""
    number = float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else math.nan
    return number if math.isfinite(number) else math.nan
