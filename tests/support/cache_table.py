"""Which steps a night recomputes after a change: of a bar, a setting, a line of `stockml/`, a file,
or nothing."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.replay import Feed
from stockml import code_version
from stockml.home import HomePaths
from stockml.models.vintage_store import SHIPPED
from stockml.nights import dataset
from tests.support.copied_code import run_on
from tests.support.patience import until
from tests.support.recordings import recorded
from tests.support.replaying import SMALL, fill, store_of

THURSDAY, FRIDAY = date(2013, 2, 28), date(2013, 3, 1)
STEPS = (
    "fetch",
    "append",
    "renormalise",
    "decide",
    "train",
    "evaluate",
    "publish",
    "log run",
    "promote",
)
ASKED: dict[str, Any] = {"ticker": "IBM", "session": THURSDAY, "settings": SMALL, "late_retries": 0}
VINTAGES = SHIPPED.relative_to(code_version.PACKAGE)
MODES = ("retrain", "fine-tune", "keep")  # how a training step's name begins
A_NIGHT = """
import json, sys
from flows.nightly import nightly
state = nightly(**json.loads(sys.argv[1]), return_state=True)
print(json.dumps([str(state.state_details.flow_run_id), "tensorflow" in sys.modules]))
"""


Steps = tuple[str, ...]


@dataclass(frozen=True)
class Nights:
    """A home after one run of Thursday's night. sources: the copy of stockml/ whose lines decide
    cache keys."""

    home: HomePaths
    feed: Feed
    sources: Path
    before: Path

    @classmethod
    def after_first_run(cls, home: HomePaths, feed: Feed, folder: Path) -> "Nights":
        """Run Thursday's night and keep a copy of the result."""
        fill(home, ["IBM"])
        made = cls(home, feed, code_version.PACKAGE, folder / "before")
        made.night()
        with (
            closing(sqlite3.connect(home.root / "mlflow.db")) as live,
            closing(sqlite3.connect(folder / "db")) as kept,
        ):
            live.backup(kept)
        shutil.copytree(
            home.root, made.before / "home", ignore=shutil.ignore_patterns("mlflow.db*", "prefect")
        )
        shutil.copytree(made.sources, made.before / "sources")
        return made

    def put_back(self) -> None:
        """Restore the home after Thursday's night. MLflow keeps its database open, so that is
        overwritten in place."""
        with (
            closing(sqlite3.connect(self.before.with_name("db"))) as kept,
            closing(sqlite3.connect(self.home.root / "mlflow.db")) as live,
        ):
            kept.backup(live)
        for saved in (self.before / "home").iterdir():
            if saved.is_dir():
                shutil.rmtree(self.home.root / saved.name, ignore_errors=True)
                shutil.copytree(saved, self.home.root / saved.name)
        shutil.copytree(self.before / "sources", self.sources, dirs_exist_ok=True)
        self.feed.set_clock(THURSDAY)

    def night(self, **changes: Any) -> Steps:
        """Run a night and return the steps that were computed, in the chain's order; the others
        came from the cache."""
        from flows.nightly import nightly

        # kept as one process runs one code; here, sources change within it
        code_version.code_hash.cache_clear()
        state = nightly(**ASKED | changes, return_state=True)
        assert state.is_completed(), state.message
        return computed(state.state_details.flow_run_id)

    def after(self, change: "Change") -> Steps:
        """Run Thursday's night again after a change; return the computed steps."""
        self.put_back()
        return self.night(**change(self))

    def in_a_fresh_process(self, change: "Change") -> tuple[Steps, bool]:
        """Like `after`, in a new process; also return whether it imported TensorFlow."""
        from prefect.settings import PREFECT_API_URL

        self.put_back()
        asked = json.dumps(ASKED | change(self), default=str)
        quiet = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_LOGGING_LEVEL": "ERROR"}
        run_id, has_tensorflow = run_on(self.sources, A_NIGHT, asked, **quiet)
        return computed(run_id), has_tensorflow


Change = Callable[[Nights], dict[str, Any]]


def computed(flow_run_id: Any) -> Steps:
    """The run's steps that did not come from the cache, once the server has recorded the end of
    each."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    this_run = FlowRunFilter(id={"any_": [flow_run_id]})

    def states() -> dict[str, str]:
        runs = client.read_task_runs(flow_run_filter=this_run, limit=100)
        found = {
            step_of(run.name): run.state_name for run in runs if run.state and run.state.is_final()
        }
        return found if len(found) == len(STEPS) else {}

    with get_client(sync_client=True) as client:
        found = until(states, every_s=0.2)
    return tuple(step for step in STEPS if found[step] == "Completed")


def step_of(task_run_name: str) -> str:
    """`retrain IBM 2013-02-28` is the step `train`."""
    word = task_run_name.split(" ", maxsplit=1)[0]
    return "train" if word in MODES else "log run" if word == "log" else word


def a_new_session(nights: Nights) -> dict[str, Any]:
    nights.feed.set_clock(FRIDAY)
    return {"session": FRIDAY}


def the_newest_bar(nights: Nights) -> dict[str, Any]:
    """Thursday's volume is restated."""
    bars = recorded("IBM").loc["2013-02-28":"2013-02-28"].assign(volume=1.0)
    store_of(nights.home).append(
        "IBM", bars, recorded_at=datetime.now(UTC), source="test", session=THURSDAY
    )
    return {}


def a_setting(**section: dict[str, Any]) -> Change:
    changed = SMALL | {name: {**SMALL.get(name, {}), **values} for name, values in section.items()}
    return lambda nights: {"settings": changed}


def a_line_of(module: str) -> Change:
    """Add a name at the end of a source: its behaviour is the same, but the hash cannot know."""

    def change(nights: Nights) -> dict[str, Any]:
        with (nights.sources / f"{module}.py").open("a") as source:
            source.write("CHANGED = True\n")
        return {}

    return change


def a_comment_in(*modules: str) -> Change:
    """Add a comment before and a string after each source, and a line to the vintages' README: the
    same meaning."""

    def change(nights: Nights) -> dict[str, Any]:
        for module in modules:
            source = nights.sources / f"{module}.py"
            source.write_text(f"# a typo, mended\n{source.read_text()}\n'''A word more.'''\n")
        with (nights.sources / VINTAGES / "README.md").open("a") as readme:
            readme.write("A word more.\n")
        return {}

    return change


def a_lost(folder: str) -> Change:
    def change(nights: Nights) -> dict[str, Any]:
        shutil.rmtree(nights.home.root / folder)
        return {}

    return change


def a_vintage_less(nights: Nights) -> dict[str, Any]:
    (nights.sources / VINTAGES / "network-2011-06.npz").unlink()
    return {}


@contextmanager
def own_sources(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute cache keys from a copy of stockml/, in which lines may be changed."""
    shutil.copytree(code_version.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    patch.setattr(code_version, "PACKAGE", folder)
    patch.setattr(dataset, "SHIPPED", folder / VINTAGES)
    patch.setattr(dataset, "_shipped", dataset._shipped.__wrapped__)
    code_version.code_hash.cache_clear()
    yield
    code_version.code_hash.cache_clear()
