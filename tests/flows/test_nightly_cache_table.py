"""Exactly what a change touches runs again, on real servers; the rest is cached, and nothing is
kept twice."""

import subprocess

import pytest

from deployments.replay import Feed
from stockml.code_version import files_hash
from tests.support.cache_table import (
    STEPS,
    THURSDAY,
    Change,
    Nights,
    Steps,
    a_comment_in,
    a_line_of,
    a_lost,
    a_new_session,
    a_setting,
    a_vintage_less,
    own_sources,
    the_newest_bar,
)
from tests.support.night_process import nights as nights_kept
from tests.support.night_process import standing
from tests.support.replaying import use

pytestmark = pytest.mark.slow

FROM_APPEND, FROM_DECIDE = STEPS[1:], STEPS[3:]


def a_byte_of(pattern):
    """Change the first byte of such a file."""

    def change(nights):
        path = min(nights.home.root.glob(pattern))
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        return {}

    return change


CHANGES: dict[str, tuple[Change, Steps, bool]] = {
    # how it is changed, what then runs again, and whether it is another night: other data, other
    # settings or other code behind its numbers. Which step a module belongs to: tests/tasks
    "a new session": (a_new_session, STEPS, True),
    "the newest bar restated": (the_newest_bar, FROM_APPEND, True),
    "a setting": (a_setting(evaluation={"origin_every": 20}), FROM_DECIDE, True),
    "a line of code": (a_line_of("models/regressions"), ("renormalise", *FROM_DECIDE), True),
    "a shipped vintage": (a_vintage_less, ("renormalise", *FROM_DECIDE), True),
    "the models lost": (a_lost("models"), ("train", "promote"), False),
    "a bit of a model": (a_byte_of("models/IBM/*/*.npz"), ("train",), False),
    "a broken result": (a_byte_of("results/evaluate-*"), ("evaluate",), False),
    "--force": (lambda nights: {"force": True}, STEPS, False),
}


@pytest.fixture(scope="module")
def nights(prefect_server, installation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nights")
    with (
        pytest.MonkeyPatch.context() as patch,
        Feed() as feed,
        own_sources(folder / "stockml", patch),
    ):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("STOCKML_HOME", str(installation.root))
        use(feed, patch)
        feed.set_clock(THURSDAY)
        yield Nights.after_first_run(installation, feed, folder)


@pytest.fixture(scope="module")
def first(nights):
    """What stands after Thursday's night."""
    return standing(nights.home)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_exactly_what_depends_on_it(nights, first, change):
    made, runs_again, another_night = CHANGES[change]
    assert nights.after(made) == runs_again
    assert (standing(nights.home) != first) == another_night


def test_a_night_under_which_the_code_changes_is_recorded_as_of_the_code_that_it_runs(
    nights, monkeypatch
):
    sizes: list[int] = []

    def pulled(asked):
        sizes.append(files_hash.cache_info().currsize)
        a_line_of("training/ticker_training")(nights)
        for command in (
            "init",
            "add .",
            "-c user.name=me -c user.email=me@example.com commit -m pulled",
        ):
            subprocess.run(
                ["git", "-C", str(nights.sources), *command.split()],
                check=True,
                capture_output=True,
            )

    nights.put_back()
    files_hash.cache_clear()  # as in a process that has just begun
    (before,) = nights_kept(nights.home)
    monkeypatch.setattr(nights.feed, "on_request", pulled)
    assert nights.night(force=True) == STEPS
    assert all(sizes), "what the night is kept as, too"
    (night,) = nights_kept(nights.home)  # under the same key
    assert (night.code_hash, night.git_commit) == (before.code_hash, before.git_commit)


def test_in_a_fresh_process_a_comment_reruns_nothing_and_tensorflow_is_not_imported(nights):
    assert nights.in_a_fresh_process(a_comment_in("errors", "training/ticker_training")) == (
        (),
        False,
    )
