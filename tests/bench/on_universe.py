"""Many tickers at once: `stockml universe` on two worker processes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from deployments.replay.feed import Feed
from deployments.replay.recording import recorded_bars
from stockml.home import home
from stockml.prices.bars import days_of
from stockml.prices.store import bar_store
from stockml.provider.client import AlphaVantage
from tests.bench.measuring import Measured, Scene
from tests.bench.processes import Ended, stockml

RECORDED = ("IBM", "AAPL", "MSFT", "GOOG")
TICKERS, FEW = 50, 4


def universe_nights(scene: Scene) -> Iterator[Measured]:
    """All tickers' first night, then nights of one new session each; the short run has the first alone, of a few.

    The symbols stand for recorded ones, in turn.
    """
    count, new = (FEW, 0) if scene.fast else (TICKERS, 2)
    aliases = {f"T{at:02d}": RECORDED[at % len(RECORDED)] for at in range(count)}
    days = days_of(recorded_bars("IBM")).tolist()[-new - 1 :]
    place = with_history(scene.folder / "universe", aliases, before=days[0])
    remark = f"{count} tickers with the recorded bars of {', '.join(RECORDED)}, in turn"
    with Feed(aliases=aliases) as feed:
        first, *others = [_night(place, feed, aliases, day) for day in days]
    yield _measured("few" if scene.fast else "first universe", [first], remark)
    if others:
        yield _measured("universe", others, remark)


def with_history(folder: Path, aliases: dict[str, str], *, before: date) -> Path:
    place = home({"STOCKML_HOME": str(folder)})
    for ticker, recorded in aliases.items():
        bars = recorded_bars(recorded)
        known = bars[days_of(bars) < before]
        store = bar_store(place, ticker, None)
        store.append(
            ticker, known, recorded_at=datetime.now(UTC), source=AlphaVantage.name, session=known.index[-1].date()
        )
    return place.root


def _night(place: Path, feed: Feed, tickers: dict[str, str], day: date) -> Ended:
    feed.set_clock(day)
    ended = stockml(place, feed, "universe", *tickers, "--session", str(day), "--json")
    rows = ended.answer()["nights"]
    assert [row["outcome"] for row in rows] == ["Completed"] * len(tickers), rows
    return ended


def _measured(figure: str, ended: list[Ended], remark: str) -> Measured:
    largest = max(each.largest_bytes for each in ended)
    together = max(each.together_bytes for each in ended)
    return Measured(figure, tuple(each.seconds for each in ended), largest, together_bytes=together, remark=remark)
