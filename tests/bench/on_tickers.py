"""Many tickers: `stockml universe` on two worker processes, and nights run by the worker of
`stockml up`, in CPU seconds of all its processes, servers included."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import yaml
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deployments.replay import replay_environment
from stockml.home import current_home
from stockml.prices.bars import days_of
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from tests.bench.measuring import Ended, Measured, Scene, by_processes, stockml
from tests.pages.prefect_session import NotYet, Up, up
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

RECORDED = ("IBM", "AAPL", "MSFT", "GOOG")
ENDS, ASKED_EACH_S = ("Completed", "Failed", "Crashed"), 2.0
# a worker takes runs due within 10 s, so all are planned further ahead, as Prefect plans nights
# days ahead
PLANNED_WITHIN_S, PLANNED_EACH_S = 12.0, 0.15
PROGRAMS = {  # by words of a process's command
    "deployments.servers.prefect_app": "Prefect's server",
    "mlflow": "MLflow's server",
    "worker start": "the worker",
    "prefect.engine": "the nights themselves",
}


def universe(scene: Scene) -> Iterator[Measured]:
    """All tickers' first night, then nights with one new session each; with `fast`, only the first
    night of a few."""
    if scene.fast:
        yield from _universe(scene, 4, 0, "few")
    else:
        yield from _universe(scene, 50, 2, "first universe", "universe")


def hundreds(scene: Scene) -> Iterator[Measured]:
    """The same with 500 tickers, the largest number promised."""
    yield from _universe(scene, 500, 1, "first hundreds", "hundreds")


def scheduled(scene: Scene) -> Iterator[Measured]:
    """One night per ticker and session, two at once; those of the first session, which retrain, are
    the warm-up."""
    yield (_scheduled(scene, 3, 1) if scene.fast else _scheduled(scene, 20, 3))[1]


def twenty_five(scene: Scene) -> Iterator[Measured]:
    """The same with as many tickers as a free key serves a day, whose nights are all due at
    once."""
    yield from _scheduled(scene, 25, 1)


def _universe(
    scene: Scene, count: int, new: int, first: str, later: str = ""
) -> Iterator[Measured]:
    """Measure the first night and `new` more; the tickers get the recorded symbols' bars in
    turn."""
    aliases = _aliases(count)
    days = days_of(recorded("IBM")).tolist()[-new - 1 :]
    place = _with_history(scene.folder / f"universe-{count}", aliases, before=days[0])
    with ScriptedFeed(aliases=aliases) as feed:
        nights = [_night_of_all(place, feed, aliases, day) for day in days]
    for figure, ended in ((first, nights[:1]), (later, nights[1:])):
        spent = ", ".join(f"{each.cpu_s / count:.2f}" for each in ended)
        remark = f"{', '.join(RECORDED)}, in turn; CPU seconds a ticker: {spent}"
        if ended:
            yield by_processes(figure, ended, remark)


def _night_of_all(place: Path, feed: ScriptedFeed, tickers: dict[str, str], day: date) -> Ended:
    feed.set_clock(day)
    ended = stockml(place, feed, "universe", *tickers, "--session", str(day), "--json")
    rows = ended.answer()["nights"]
    assert [row["outcome"] for row in rows] == ["Completed"] * len(tickers), rows
    return ended


def _aliases(count: int) -> dict[str, str]:
    return {f"T{at:02d}": RECORDED[at % len(RECORDED)] for at in range(count)}


def _with_history(folder: Path, aliases: dict[str, str], *, before: date) -> Path:
    place = current_home({"STOCKML_HOME": str(folder)})
    facts = {"recorded_at": datetime.now(UTC), "source": AlphaVantage.name}
    for ticker, played in aliases.items():
        bars = recorded(played)
        known = bars[days_of(bars) < before]
        BarStore.of(place).append(ticker, known, session=known.index[-1].date(), **facts)
    return place.root


def _scheduled(scene: Scene, count: int, new: int) -> tuple[Measured, Measured]:
    """Measure the time until all nights are done, and the CPU seconds per night."""
    aliases = _aliases(count)
    first, *sessions = days_of(recorded(RECORDED[0])).tolist()[-new - 1 :]
    place = _with_history(scene.folder / f"scheduled-{count}", aliases, before=first)
    (place / "tickers.yaml").write_text(yaml.safe_dump({"tickers": [*aliases]}))
    with ScriptedFeed(aliases=aliases) as feed:
        feed.set_clock(sessions[-1])
        with up(place, **replay_environment(feed)) as pages:
            children = psutil.Process().children()
            [stack] = (each for each in children if "deployments.cli" in each.cmdline())
            found = [
                _nights_due_at_once(pages, [*aliases], str(session), stack)
                for session in (first, *sessions)
            ]
            memory = [each.memory_info().rss for each in stack.children(recursive=True)]
    seconds, nights = [each for each, _ in found], [each for _, each in found]
    warm_up, *others = (each.total() / count for each in nights)
    parts = ", ".join(f"{part} {spent / count:.2f}" for part, spent in nights[-1].most_common())
    remark = f"{count} tickers; CPU seconds of the last session: {parts}"
    facts = {"peak_bytes": max(memory), "together_bytes": sum(memory), "remark": remark}
    return (
        Measured("25 scheduled", seconds[1:], first=seconds[0], **facts),
        Measured("scheduled night", others, first=warm_up, **facts),
    )


def _nights_due_at_once(
    pages: Up, tickers: list[str], session: str, stack: psutil.Process
) -> tuple[float, Counter[str]]:
    """Plan the nights ahead; return the seconds from their due time to the end of the last, and CPU
    seconds by part."""
    due = datetime.now(UTC) + timedelta(seconds=PLANNED_WITHIN_S + PLANNED_EACH_S * len(tickers))
    runs = [pages.start(f"nightly/{ticker}", due, session=session) for ticker in tickers]
    before = _spent(stack)
    assert datetime.now(UTC) < due, "the runs were not planned before they were due"
    ends = [_end_of(pages, run) for run in runs]
    assert ends == ["Completed"] * len(tickers), ends
    return (datetime.now(UTC) - due).total_seconds(), _spent(stack) - before


@retry(
    retry=retry_if_exception_type(NotYet),
    wait=wait_fixed(ASKED_EACH_S),
    stop=stop_after_delay(PATIENCE_S),
)
def _end_of(pages: Up, run: str) -> str:
    """Wait for a run's final state, polling as rarely as an open page does, since polling is
    measured as well."""
    if (state := pages.run(run)["state_name"]) not in ENDS:
        raise NotYet
    return str(state)


def _spent(stack: psutil.Process) -> Counter[str]:
    """CPU seconds so far by part, including those of its ended children."""
    found: Counter[str] = Counter()
    for process in [stack, *stack.children(recursive=True)]:
        try:
            times, command = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        part = next((says for words, says in PROGRAMS.items() if words in command), "the rest")
        found[part] += times.user + times.system + times.children_user + times.children_system
    return found
