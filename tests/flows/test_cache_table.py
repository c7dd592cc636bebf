"""Exactly what a change touches runs again, on real servers; the rest comes from the cache, and nothing is kept twice.

The changes, and the table of them for people, stand in cache_table.py.
"""

from collections.abc import Iterator

import pytest

from deployments.replay.feed import Feed
from stockml.home import Home
from tests.support.cache_table import CHANGES, STEPS, THURSDAY, Nights, own_sources
from tests.support.night_process import Standing, standing
from tests.support.replaying import use

pytestmark = pytest.mark.slow

FROM_APPEND, FROM_DECIDE = STEPS[1:], STEPS[3:]
RUNS_AGAIN = {
    "nothing": (),
    "a new session": STEPS,
    "the newest bar restated": FROM_APPEND,
    "setting evaluation.origin_every": FROM_DECIDE,
    "a line of provider/client.py": ("fetch", "append"),
    "a line of prices/store.py": ("fetch", "append", "renormalise"),
    "a line of models/pooled_regression.py": ("renormalise", *FROM_DECIDE),
    "a line of training/ticker_training.py": FROM_DECIDE,
    "a line of pipeline/train.py": ("train",),
    "a line of pipeline/evaluate.py": ("evaluate",),
    "a line of plots/forecast.py": ("log run",),
    "a line of tracking/runs.py": ("log run",),
    "a line of pipeline/publish.py": ("publish",),
    "a line of nights/universe.py": (),
    "a comment in errors.py and ticker_training.py": (),
    "a shipped vintage": ("renormalise", *FROM_DECIDE),
    "the models lost": ("train", "promote"),
    "the plots lost": (),
    "--force": STEPS,
}
ANOTHER_NIGHT = {  # another key: other data, other settings, or other code behind its numbers
    "a new session",
    "the newest bar restated",
    "setting evaluation.origin_every",
    "a line of models/pooled_regression.py",
    "a line of training/ticker_training.py",
    "a shipped vintage",
}


@pytest.fixture(scope="module")
def nights(prefect_server: None, installation: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("nights")
    with pytest.MonkeyPatch.context() as patch, Feed() as feed, own_sources(folder / "stockml", patch):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("STOCKML_HOME", str(installation.root))
        use(feed, patch)
        feed.set_clock(THURSDAY)
        yield Nights.begun(installation, feed, folder)


@pytest.fixture(scope="module")
def first(nights: Nights) -> Standing:
    """What stands after Thursday's night."""
    return standing(nights.home)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_again_what_depends_on_it(nights: Nights, first: Standing, change: str) -> None:
    assert nights.after(CHANGES[change]).steps == RUNS_AGAIN[change]
    assert (standing(nights.home) != first) == (change in ANOTHER_NIGHT)


def test_in_a_fresh_process_nothing_runs_again_after_a_comment_and_tensorflow_is_not_imported(nights: Nights) -> None:
    ran, _, has_tensorflow = nights.in_a_fresh_process(CHANGES["a comment in errors.py and ticker_training.py"])
    assert (ran.steps, has_tensorflow) == ((), False)
