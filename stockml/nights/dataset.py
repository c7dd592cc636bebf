"""The series that a night's model sees, adjusted, through tonight's session and no later; and notes
on it: bars set aside, sessions without a bar, doubtful splits, imports that disagree."""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np

from stockml.errors import NoBars, quantity
from stockml.features.origins import HOLE, UNITS, divided_by, starts, within_segment
from stockml.home import HomePaths
from stockml.models.regressions import LEADS
from stockml.models.vintage_set import vintages_sha256
from stockml.models.vintage_store import KINDS, SHIPPED
from stockml.prices.adjusted_series import AdjustedSeries
from stockml.prices.bars import Bars, days_of, jumps
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries
from stockml.prices.store import SESSIONS_TO_LIST, BarStore
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, StoreReceipt

NEWEST = 100  # sessions that one request covers; older ones are counted, not named
MAX_NAMED = 5


def side_inputs_sha256(home: HomePaths, ticker: str, session: date) -> str:
    """Hashes of a night's inputs besides the ticker's bars: its splits, imports and judgements, and
    the pretrained networks."""
    hashes = (sha256_of(address) or "none" for address in BarStore.of(home).side_files(ticker))
    return " ".join([*hashes, inputs_sha256(home, session)])


def inputs_sha256(home: HomePaths, session: date) -> str:
    """Hash of what was learned across tickers: everything shipped, and what the home had learned by
    the session."""
    return f"{_shipped()} {vintages_sha256(session, home.pretrained)}"


@cache
def _shipped() -> str:
    files = sorted(path for kind in KINDS.values() for path in SHIPPED.glob(kind.pattern))
    return hashlib.sha256(
        "\n".join(f"{file.name} {sha256_of(file)}" for file in files).encode()
    ).hexdigest()


def renormalise(home: HomePaths, bars: StoreReceipt, *, calendar: str | None) -> DatasetReceipt:
    """Write the series adjusted through the session; its SHA-256 is the data hash. Raises NoBars,
    HistoryError."""
    store = BarStore.of(home, calendar)
    view = store.view(bars.ticker, until=bars.session)
    if (newest := view.bars.index[-1].date()) < bars.session:
        raise NoBars(
            store.path(bars.ticker),
            f"no bar of {bars.session} that is believed, the newest is of {newest}",
        )
    path = home.datasets / bars.ticker / f"{bars.session}.parquet"
    PriceSeries.from_bars(view.bars).write(path)
    sha256 = sha256_of(path) or ""
    notes = of_answer(store, bars) + data_notes(bars.ticker, view, store.sessions(bars.ticker))
    pretrained, count = inputs_sha256(home, bars.session), len(view.bars)
    return DatasetReceipt(
        bars.ticker,
        str(path),
        sha256,
        bars.session,
        count,
        view.adjustment,
        notes,
        pretrained,
        calendar,
    )


def data_notes(ticker: str, view: AdjustedSeries, sessions: Sessions) -> tuple[str, ...]:
    """Plain sentences: recent matters one by one, older ones counted; none for sound data."""
    days = days_of(view.bars)
    recent = days[-min(NEWEST, len(days))].item()
    command = f"`stockml bars {ticker} --holes`"
    named = [bar for bar in view.set_aside[-MAX_NAMED:] if bar.session >= recent]
    notes = [
        f"{bar}; set aside until it is restated"
        + ("" if bar.broken else f", or `stockml bars {ticker} --accept {bar.session}`")
        for bar in named
    ]
    notes += [
        f"the open of {day} moved as at a split, none is known, and its bar is taken as it is: if "
        f"it is a misprint, `stockml bars {ticker} --reject {day}`"
        for day in jumps(view.bars)
        if day in days[-SESSIONS_TO_LIST:]
    ]
    unknown = view.bars["volume"].isna()
    began = days[unknown & ~unknown.shift(fill_value=True)]
    notes += [
        f"no volume from {day} on: taken as unknown"
        for day in began
        if day in days[-SESSIONS_TO_LIST:]
    ]
    if repeated := [day for day in repeats(view.bars) if day >= recent]:
        notes.append(
            f"prices and volume of {listed(repeated)} are those of the bar before once more, as "
            f"of a feed that stands still: if they are not real, `stockml bars {ticker} --reject "
            f"{repeated[0]}`"
        )
    notes += [
        f"a split of {split.factor:g} to 1 on {split.effective} is listed, and no close near it "
        "moved that way: prices before it are left as they are"
        for split in view.contradicted
    ]
    if older := len(view.set_aside) - len(named):
        notes.append(f"{older} older bar{'s are' if older > 1 else ' is'} set aside: {command}")
    holes = view.holes(sessions)
    if new := [day for day in holes if day >= recent]:
        notes.append(f"no bar of {listed(new)}: asked for again every night")
    if old := [day for day in holes if day < recent]:
        notes.append(
            f"no bar of {quantity(len(old), 'older session')}: {command}; `stockml import` can "
            "bring them"
        )
    if split := divided(PriceSeries.from_bars(view.bars), sessions):
        notes.append(split)
    return (*notes, *of_joins(view))


def of_joins(view: AdjustedSeries) -> list[str]:
    """Sentences on how imported history and the bars fit, for an import and for every night."""
    notes = []
    if odd := sorted({day for join in view.joins for day in join.odd}):
        notes.append(
            f"imported history disagrees with the bars on {listed(odd)}; joined by the other "
            "sessions' ratio"
        )
    notes += [
        f"imported history is joined by the close of {join.cut} alone, which nothing confirms: "
        "import a file that has more of the bars' sessions"
        for join in view.joins
        if join.overlap == 1
    ]
    return notes


def repeats(bars: Bars) -> list[date]:
    """The sessions whose bar repeats the one before, though it has a range: no market does that,
    volume included."""
    same = (bars.diff().fillna({"volume": 0}) == 0).all(axis=1) & (bars["high"] > bars["low"])
    sessions: list[date] = days_of(bars[same]).tolist()
    return sessions


def listed(days: Sequence[date]) -> str:
    more = f" and {len(days) - MAX_NAMED} more" if len(days) > MAX_NAMED else ""
    return ", ".join(map(str, days[:MAX_NAMED])) + more


def of_answer(store: BarStore, bars: StoreReceipt) -> tuple[str, ...]:
    """Sentences on the newest answer: its days that are yet to come, and the closes that it
    changed."""
    future = f"left out, yet to come: {listed(bars.left_out)} (is this machine's clock behind?)"
    return (*([future] if bars.left_out else []), *_restated(store, bars))


def _restated(store: BarStore, bars: StoreReceipt) -> tuple[str, ...]:
    """Sentences naming the closes that the newest answer changed, if any; other restated columns
    are not named."""
    if not bars.restated:
        return ()
    changes = store.restatements(bars.ticker)
    is_newest = changes["recorded_at"] == store.newest_record(bars.ticker)
    closes = changes[is_newest & (changes["column"] == "close")]
    rows = zip(closes["session"], closes["before"], closes["after"], strict=True)
    sentences = [
        f"the close of {day.date()} was restated from {before:g} to {after:g}"
        for day, before, after in rows
    ]
    return (
        *sentences[:MAX_NAMED],
        *(
            [f"and {quantity(len(sentences) - MAX_NAMED, 'more close')}"]
            if len(sentences) > MAX_NAMED
            else []
        ),
    )


def divided(series: PriceSeries, sessions: Sessions) -> str:
    """A sentence on what long holes and changes of units do to the series, and what that costs; ""
    without any."""
    after = starts(series)[1:]
    if not len(after):
        return ""
    last, first = (series.sessions[at].item() for at in (after[-1] - 1, after[-1]))
    missing = len(sessions.between(last + timedelta(days=1), first - timedelta(days=1)))
    times = f" {len(after)} times, the newest" if len(after) > 1 else ""
    what = f"{HOLE} of {missing} sessions" if missing else "closure of the exchange"
    if divided_by(series, after[-1]) == UNITS:
        what = f"{UNITS}, a lasting change of the price by a power of ten,"
    lost = len(series) - len(within_segment(series, np.arange(len(series)), LEADS[-1]))
    return (
        f"the series is divided{times} by a {what} between {last} and {first}: {lost} of "
        f"{len(series):,} sessions are neither learned from nor scored, since window or outcome "
        "would span it; after it the share is seen as one that was listed then"
    )
