"""Many tickers at once: `stockml universe` on two worker processes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from stockml.home import current_home
from stockml.prices.bars import days_of
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from tests.bench.measuring import Measured, Scene
from tests.bench.processes import Ended, stockml
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

RECORDED = ("IBM", "AAPL", "MSFT", "GOOG")
TICKERS, FEW, MANY = 50, 4, 500


def universe_nights(scene: Scene) -> Iterator[Measured]:
    """All tickers' first night, then nights with one new session each; with `fast`, only the first
    night of a few."""
    if scene.fast:
        yield from _universe(scene, FEW, 0, "few")
    else:
        yield from _universe(scene, TICKERS, 2, "first universe", "universe")


def hundreds(scene: Scene) -> Iterator[Measured]:
    """The same with 500 tickers, the largest number promised."""
    yield from _universe(scene, MANY, 1, "first hundreds", "hundreds")


def _universe(
    scene: Scene, count: int, new: int, first: str, later: str = ""
) -> Iterator[Measured]:
    """Measure the first night and `new` more; the tickers get the recorded symbols' bars in
    turn."""
    aliases = aliases_of(count)
    days = days_of(recorded("IBM")).tolist()[-new - 1 :]
    place = with_history(scene.folder / f"universe-{count}", aliases, before=days[0])
    with ScriptedFeed(aliases=aliases) as feed:
        nights = [_night(place, feed, aliases, day) for day in days]
    yield _measured(first, nights[:1], count)
    if new:
        yield _measured(later, nights[1:], count)


def aliases_of(count: int) -> dict[str, str]:
    return {f"T{at:02d}": RECORDED[at % len(RECORDED)] for at in range(count)}


def with_history(folder: Path, aliases: dict[str, str], *, before: date) -> Path:
    place = current_home({"STOCKML_HOME": str(folder)})
    for ticker, played in aliases.items():
        bars = recorded(played)
        known = bars[days_of(bars) < before]
        store = BarStore.of(place)
        store.append(
            ticker,
            known,
            recorded_at=datetime.now(UTC),
            source=AlphaVantage.name,
            session=known.index[-1].date(),
        )
    return place.root


def _night(place: Path, feed: ScriptedFeed, tickers: dict[str, str], day: date) -> Ended:
    feed.set_clock(day)
    ended = stockml(place, feed, "universe", *tickers, "--session", str(day), "--json")
    rows = ended.answer()["nights"]
    assert [row["outcome"] for row in rows] == ["Completed"] * len(tickers), rows
    return ended


def _measured(figure: str, ended: list[Ended], count: int) -> Measured:
    spent = ", ".join(f"{each.cpu_s / count:.2f}" for each in ended)
    remark = (
        f"{count} tickers with the recorded bars of {', '.join(RECORDED)}, in turn; CPU seconds a "
        f"ticker: {spent}"
    )
    largest = max(each.largest_bytes for each in ended)
    together = max(each.together_bytes for each in ended)
    return Measured(
        figure,
        tuple(each.seconds for each in ended),
        largest,
        together_bytes=together,
        remark=remark,
    )
