"""Nights that a worker of `stockml up` runs: CPU seconds of all its processes, servers included."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import psutil

from tests.bench.measuring import Measured, Scene
from tests.pages.prefect_session import Up, up

TICKERS = ("IBM", "AAPL", "MSFT")
SESSIONS = ("2013-02-26", "2013-02-27", "2013-02-28", "2013-03-01")
PARTS = {
    "prefect_program": "Prefect's server",
    "mlflow_program": "MLflow's server",
    "worker_program": "the worker",
    "warm_server": "the nights themselves",
}


def scheduled_nights(scene: Scene) -> Iterator[Measured]:
    """A night a ticker and session, two at once; the first session's, which retrain, are the warm-up."""
    sessions = SESSIONS[: 2 if scene.fast else len(SESSIONS)]
    with up(scene.folder / "scheduled") as pages:
        [stack] = psutil.Process().children()
        spent = [_spent(stack)]
        for session in sessions:
            _night(pages, session)
            spent.append(_spent(stack))
        largest = max(each.memory_info().rss for each in stack.children(recursive=True))
        together = sum(each.memory_info().rss for each in stack.children(recursive=True))
    nights = [after - before for before, after in pairwise(spent)]
    first, *others = (each.total() / len(TICKERS) for each in nights)
    by_part = ", ".join(f"{part} {seconds / len(TICKERS):.2f}" for part, seconds in nights[-1].most_common())
    remark = f"{', '.join(TICKERS)}; CPU seconds of the last session: {by_part}"
    yield Measured("scheduled night", tuple(others), largest, first, together_bytes=together, remark=remark)


def _night(pages: Up, session: str) -> None:
    runs = [pages.start(f"nightly/{ticker}", session=session) for ticker in TICKERS]
    ends = [pages.until(run, "Completed", "Failed", "Crashed")["state_name"] for run in runs]
    assert ends == ["Completed"] * len(TICKERS), ends


def _spent(stack: psutil.Process) -> Counter[str]:
    """CPU seconds so far, by part; those of a part's ended children included."""
    found: Counter[str] = Counter()
    for process in [stack, *stack.children(recursive=True)]:
        try:
            times, module = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        part = next((says for name, says in PARTS.items() if f"deployments.servers.{name}" in module), "the rest")
        found[part] += times.user + times.system + times.children_user + times.children_system
    return found
