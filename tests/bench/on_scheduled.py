"""Nights run by the worker of `stockml up`: CPU seconds of all its processes, servers included."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import yaml
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deployments.replay.feed import replay_environment
from stockml.prices.bars import days_of
from tests.bench.measuring import Measured, Scene
from tests.bench.on_universe import RECORDED, aliases_of, with_history
from tests.pages.prefect_session import NotYet, Up, up
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

FEW, TWENTY, TWENTY_FIVE = 3, 20, 25
ENDS, ASKED_EACH_S = ("Completed", "Failed", "Crashed"), 2.0
# a worker takes runs due within 10 s, so all are planned further ahead, as Prefect plans nights
# days ahead
PLANNED_WITHIN_S, PLANNED_EACH_S = 12.0, 0.15
PARTS = {  # by words of a process's command
    "deployments.servers.prefect_app": "Prefect's server",
    "mlflow": "MLflow's server",
    "worker start": "the worker",
    "prefect.engine": "the nights themselves",
}


def scheduled_nights(scene: Scene) -> Iterator[Measured]:
    """One night per ticker and session, two at once; those of the first session, which retrain, are
    the warm-up."""
    yield (_scheduled(scene, FEW, 1) if scene.fast else _scheduled(scene, TWENTY, 3))[1]


def twenty_five(scene: Scene) -> Iterator[Measured]:
    """The same with as many tickers as a free key serves a day, whose nights are all due at
    once."""
    yield from _scheduled(scene, TWENTY_FIVE, 1, "25 scheduled")


def _scheduled(scene: Scene, count: int, new: int, figure: str = "") -> tuple[Measured, Measured]:
    """Measure the time until all nights are done, and the CPU seconds per night."""
    aliases = aliases_of(count)
    first, *sessions = days_of(recorded(RECORDED[0])).tolist()[-new - 1 :]
    place = with_history(scene.folder / f"scheduled-{count}", aliases, before=first)
    (place / "tickers.yaml").write_text(yaml.safe_dump({"tickers": [*aliases]}))
    with ScriptedFeed(aliases=aliases) as feed:
        feed.set_clock(sessions[-1])
        with up(place, **replay_environment(feed)) as pages:
            [stack] = (
                each for each in psutil.Process().children() if "deployments.cli" in each.cmdline()
            )
            found = [
                _night(pages, [*aliases], str(session), stack) for session in (first, *sessions)
            ]
            memory = [each.memory_info().rss for each in stack.children(recursive=True)]
    seconds, nights = [each for each, _ in found], [each for _, each in found]
    warm_up, *others = (each.total() / count for each in nights)
    by_part = ", ".join(
        f"{part} {seconds / count:.2f}" for part, seconds in nights[-1].most_common()
    )
    remark = f"{count} tickers; CPU seconds of the last session: {by_part}"
    memory_of = {"peak_bytes": max(memory), "together_bytes": sum(memory), "remark": remark}
    return (
        Measured(figure, tuple(seconds[1:]), first=seconds[0], **memory_of),
        Measured("scheduled night", tuple(others), first=warm_up, **memory_of),
    )


def _night(
    pages: Up, tickers: list[str], session: str, stack: psutil.Process
) -> tuple[float, Counter[str]]:
    """Plan the nights ahead; return the seconds from their due time to the end of the last, and CPU
    seconds by part."""
    due = datetime.now(UTC) + timedelta(seconds=PLANNED_WITHIN_S + PLANNED_EACH_S * len(tickers))
    runs = [pages.start(f"nightly/{ticker}", due, session=session) for ticker in tickers]
    before = _spent(stack)
    assert datetime.now(UTC) < due, "the runs were not planned before they were due"
    ends = [ended(pages, run) for run in runs]
    assert ends == ["Completed"] * len(tickers), ends
    return (datetime.now(UTC) - due).total_seconds(), _spent(stack) - before


@retry(
    retry=retry_if_exception_type(NotYet),
    wait=wait_fixed(ASKED_EACH_S),
    stop=stop_after_delay(PATIENCE_S),
)
def ended(pages: Up, run: str) -> str:
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
            times, module = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        part = next((says for name, says in PARTS.items() if name in module), "the rest")
        found[part] += times.user + times.system + times.children_user + times.children_system
    return found
