"""Commands where machines share a home's state, beside runs and readers at the same time."""

from dataclasses import replace
from pathlib import Path

from stockml.home import Home
from stockml.storage.locks import file_lock
from stockml.storage.manifests import ATTEMPT, ENDED
from stockml.storage.shared_state import SharedState
from stockml.storage.sharing import commit_all, commit_ended, refresh


def test_a_command_does_not_take_a_file_as_removed_while_a_reader_replaces_it(
    home: Home, s3_folder: str, tmp_path: Path
) -> None:
    here = replace(home, state=s3_folder, database="nobody@127.0.0.1:1")
    away = replace(here, root=tmp_path / "away")
    attempt = away.nights / "IBM" / ATTEMPT
    attempt.parent.mkdir(parents=True)
    attempt.write_text("newest")
    commit_ended(away, "IBM")
    refresh(here)
    [brought] = here.nights.rglob(ATTEMPT)
    with file_lock(here.locks / f"IBM{ENDED}.lock", 0):  # held as by a reader that replaces the file
        brought.unlink()
        commit_all(here, may_remove=True)
    state = SharedState.of(here)
    assert state
    state.checkout(f"IBM{ENDED}")
    assert brought.read_text() == "newest"
    brought.unlink()
    commit_all(here, may_remove=True)
    refresh(away)
    assert not attempt.exists()


def test_what_was_deleted_from_a_cache_comes_back_and_is_never_taken_for_a_clean_up(
    home: Home, s3_folder: str, tmp_path: Path
) -> None:
    """As by `rm -rf $STOCKML_HOME/*`, which leaves what the cache knows of the state."""
    here = replace(home, state=s3_folder, database="nobody@127.0.0.1:1")
    forecasts = here.ledger / "IBM.parquet"
    forecasts.parent.mkdir(parents=True)
    forecasts.write_text("years of forecasts")
    commit_all(here)
    refresh(here)
    forecasts.unlink()
    refresh(here)
    assert forecasts.read_text() == "years of forecasts"
    commit_all(here, may_remove=True)
    away = replace(here, root=tmp_path / "away")
    refresh(away)
    assert (away.ledger / "IBM.parquet").read_text() == "years of forecasts"
