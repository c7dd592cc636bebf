"""Breakdown of a warm night's CPU time: `python -m tests.bench.warm_night docs/images/warm-night.png` draws it.

Each night is a fork of a process that has imported everything, as a worker's are, and uses two servers started for it.
The parts are the functions that do the steps' work, without parts nested in them; the rest of the process is Prefect's
engine and client. The worker itself is measured by `python -m tests.bench --only=scheduled`.
"""

import importlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from deployments.process import leave
from deployments.replay.feed import replay_environment
from deployments.servers import warm_server
from deployments.servers.environment import settings_of
from stockml.home import HomePaths, current_home
from stockml.plots import style
from stockml.prices.bars import days_of
from tests.bench.on_universe import with_history
from tests.support.own_servers import OwnServer
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

TICKERS = {"T00": "IBM", "T01": "AAPL", "T02": "MSFT"}
SESSIONS = 4  # the first one retrains and is not counted
PARTS = {  # function → the part that its time counts for
    "stockml.pipeline.ingest:fetch": "fetch and append",
    "stockml.pipeline.ingest:append": "fetch and append",
    "stockml.pipeline.dataset:renormalise": "adjust",
    "stockml.pipeline.decide:decide_mode": "decide, train",
    "stockml.pipeline.train:train_night": "decide, train",
    "stockml.pipeline.evaluate:evaluate_night": "evaluate",
    "stockml.pipeline.publish:publish": "publish, record",
    "stockml.pipeline.log:log_night": "publish, record",
    "stockml.pipeline.promote:promote": "publish, record",
    "stockml.pipeline.plots:draw": "plots",
    "stockml.tracking.client:Tracking.keep_and_log": "MLflow's client",
    "stockml.pipeline.log:_catch_up": "MLflow's client",
    "tasks.status_page:show_status": "page of all tickers",
}
ENGINE, PREFECT, MLFLOW = "Prefect's engine and client", "Prefect's server", "MLflow's server"


def measured(folder: Path) -> Counter[str]:
    """CPU seconds of a night by part: medians over the nights, and for the servers means."""
    os.environ.update(STOCKML_HOME=str(folder / "home"), PREFECT_SERVER_ANALYTICS_ENABLED="false")
    days = days_of(recorded("IBM")).tolist()[-SESSIONS:]
    place = current_home({"STOCKML_HOME": str(with_history(folder / "home", TICKERS, before=days[0]))})
    os.environ.update(settings_of(place, {}))
    with OwnServer.prefect(place) as prefect, OwnServer.mlflow(place) as mlflow, ScriptedFeed(aliases=TICKERS) as feed:
        for server in (prefect.start(), mlflow.start()):
            server.wait()
        os.environ.update(PREFECT_API_URL=f"{prefect.address}/api", MLFLOW_TRACKING_URI=mlflow.address)
        place.servers.write_text(json.dumps({"mlflow": mlflow.address}))
        warm_server.prepare()
        nights: list[Counter[str]] = []
        for day in days:
            if day == days[1]:
                nights, before = [], _servers(prefect, mlflow)
            feed.set_clock(day)
            nights += [_night(place, ticker, day, feed) for ticker in TICKERS]
        spent = _servers(prefect, mlflow)
    found = Counter({part: statistics.median(night[part] for night in nights) for part in {*PARTS.values(), ENGINE}})
    return found + Counter({part: (spent[part] - before[part]) / len(nights) for part in spent})


def _night(place: HomePaths, ticker: str, day: Any, feed: ScriptedFeed) -> Counter[str]:
    told = place.root / "spent.json"
    if (pid := os.fork()) == 0:
        try:
            os.environ.update(replay_environment(feed))
            told.write_text(json.dumps(_spent_by(ticker, day)))
            leave(0)
        finally:
            leave(1)
    assert os.waitpid(pid, 0)[1] == 0
    return Counter(json.loads(told.read_text()))


def _spent_by(ticker: str, day: Any) -> Counter[str]:
    spent: Counter[str] = Counter()
    within = [ENGINE]
    last = [time.process_time()]

    def account() -> None:
        now = time.process_time()
        spent[within[-1]] += now - last[0]
        last[0] = now

    def counted(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            account()
            within.append(part)
            try:
                return function(*arguments, **named)
            finally:
                account()
                within.pop()

        return run

    for name, part in PARTS.items():
        module, _, path = name.partition(":")
        owner: Any = importlib.import_module(module)
        *above, last_name = path.split(".")
        for each in above:
            owner = getattr(owner, each)
        setattr(owner, last_name, counted(getattr(owner, last_name), part))
    from prefect.context import refresh_global_settings_context

    from flows.nightly import nightly

    refresh_global_settings_context()
    nightly(ticker, session=day)
    account()
    return spent


def _servers(prefect: OwnServer, mlflow: OwnServer) -> Counter[str]:
    found: Counter[str] = Counter()
    for part, server in ((PREFECT, prefect), (MLFLOW, mlflow)):
        assert server.child
        top = psutil.Process(server.child.process.pid)
        for process in (top, *top.children(recursive=True)):
            times = process.cpu_times()
            found[part] += times.user + times.system
    return found


def draw(found: Counter[str], path: Path) -> None:
    total = found.total()
    figure, (axes,) = style.canvas(
        f"A warm night takes {total:.1f} CPU seconds, both servers included",
        f"{len(TICKERS)} tickers, {SESSIONS - 1} sessions each; by part, CPU seconds of a night",
    )
    shown = list(reversed(found.most_common()))
    servers = {PREFECT, MLFLOW}
    colours = [style.COLOURS["champion"] if part in servers else style.MODEL for part, _ in shown]
    axes.barh([part for part, _ in shown], [seconds for _, seconds in shown], color=colours, height=0.62)
    for at, (_, seconds) in enumerate(shown):
        axes.text(seconds, at, f"  {seconds:.2f}  ({seconds / total:.0%})", va="center", color=style.INK, fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, shown[-1][1] * 1.18)
    axes.set_xlabel("CPU seconds (violet: the servers)")
    path.write_bytes(style.png(figure))


def main(picture: str) -> None:
    folder = tempfile.mkdtemp()  # the first child to exit would remove a TemporaryDirectory
    try:
        found = measured(Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for part, seconds in found.most_common():
        print(f"{seconds:6.2f}  {part}")
    print(f"{found.total():6.2f}  in all")
    draw(found, Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
