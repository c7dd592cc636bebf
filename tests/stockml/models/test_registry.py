"""Promotions are only added, one per key; a rollback goes back one champion at a time; damage is
named."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidTicker, NoChampion, RecordUnreadable, StoreBusy, StoreError
from stockml.models.registry import Promotion, Registry, champion_for
from stockml.storage.files import sha256_of
from tests.support.models import write_model

EVENING = datetime(2013, 2, 28, 23, 30, tzinfo=UTC)


def night(models, number, ticker="IBM"):
    """The promotion of a model made on the `number`-th evening."""
    folder = write_model(models / ticker / f"{number:016x}", sessions=number)
    return Promotion(
        ticker=ticker,
        event="promote",
        key=f"{number:064x}",
        path=str(folder),
        sha256=sha256_of(str(folder)),
        version=str(number),
        session=date(2013, 2, 28) + timedelta(days=number),
        reason=f"beats the champion of evening {number - 1}",
        at=EVENING + timedelta(days=number),
    )


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def test_before_the_first_promotion_there_is_no_champion_and_no_file(registry):
    assert registry.champion("IBM") is None
    assert registry.history("IBM") == ()
    with pytest.raises(NoChampion, match="nothing to roll back to"):
        registry.rollback("IBM", at=EVENING, reason="by hand")
    assert not registry.models.exists()


@given(
    line=st.builds(
        Promotion,
        ticker=st.just("IBM"),
        event=st.just("promote"),
        path=st.just("/elsewhere/model"),
        at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))])),
    )
)
def test_any_promotion_reads_back_as_written(line, tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("models"))
    registry.promote(line)
    assert registry.history("IBM") == (line,)


def test_lines_are_only_added_and_a_repeated_night_changes_no_byte(registry):
    """So running a night again does not undo its rollback."""
    nights = [night(registry.models, number) for number in (1, 2)]
    assert all(map(registry.promote, nights))
    assert registry.history("IBM") == tuple(nights)
    written = registry.file("IBM").read_bytes()
    back = registry.rollback("IBM", at=EVENING + timedelta(days=9), reason="by hand")
    grown = registry.file("IBM").read_bytes()
    assert grown.startswith(written)
    assert not registry.promote(replace(nights[1], reason="again", at=EVENING + timedelta(days=9)))
    assert registry.file("IBM").read_bytes() == grown
    assert registry.champion("IBM") == back


def test_each_rollback_goes_back_one_champion_further(registry):
    """In the order of events, not of their times."""
    nights = [replace(night(registry.models, number), at=EVENING) for number in (1, 2, 3)]
    for each in nights:
        registry.promote(each)
    for expected in (nights[1], nights[0]):
        back = registry.rollback("IBM", at=EVENING, reason="it misbehaves")
        assert back == registry.champion("IBM")
        assert back == replace(expected, event="rollback", reason="it misbehaves")
    with pytest.raises(NoChampion, match="2013-03-01's is the first"):
        registry.rollback("IBM", at=EVENING, reason="by hand")


def test_a_champion_that_cannot_be_loaded_is_not_rolled_back_to(registry):
    first, model = night(registry.models, 1), registry.models / "IBM" / f"{1:016x}" / "model.json"
    changed = json.loads(model.read_text())
    changed["networks"]["published"]["pool"]["pretrained"] = f"network-2013-01.npz {'0' * 64}"
    model.write_text(json.dumps(changed))
    registry.promote(replace(first, sha256=sha256_of(first.path)))
    registry.promote(night(registry.models, 2))
    before = registry.file("IBM").read_bytes()
    for content, why in (
        (model.read_text(), "cannot be loaded: network-2013"),
        ("other", "is gone or changed"),
    ):
        model.write_text(content)
        with pytest.raises(NoChampion, match=f"0001 {why}"):
            registry.rollback("IBM", at=EVENING, reason="by hand")
    assert registry.file("IBM").read_bytes() == before


def test_a_moved_installation_still_finds_its_models(registry, tmp_path):
    registry.promote(night(registry.models, 1))
    registry.models.rename(tmp_path / "elsewhere")
    assert Registry(tmp_path / "elsewhere").champion("IBM").intact()


def test_a_damaged_history_is_an_error_that_names_the_file_and_is_never_overwritten(registry):
    for number in (1, 2, 3):
        registry.promote(night(registry.models, number))
    path = registry.file("IBM")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    whole = first + second + third
    for damaged in (
        b"",
        first + third,
        whole.replace(b"evening 1", b"evening 7"),
        first + second + third.rpartition(b", ")[0] + b"}\n",  # the newest has no checksum
        *(whole + more for more in (b"\xff\xfe", b"{half a line", b'{"key": "k"}\n', b"\n")),
    ):
        path.write_bytes(damaged)
        for attempt in (
            lambda: registry.champion("IBM"),
            lambda: registry.promote(night(registry.models, 4)),
            lambda: registry.rollback("IBM", at=EVENING, reason="by hand"),
        ):
            with pytest.raises(RecordUnreadable, match=r"promotions\.jsonl.* from a backup"):
                attempt()
        assert path.read_bytes() == damaged


def test_a_history_of_another_ticker_is_refused(registry):
    """Its model would be scored and continued as this ticker's champion."""
    registry.promote(night(registry.models, 1, "MSFT"))
    registry.file("IBM").parent.mkdir()
    registry.file("IBM").write_bytes(registry.file("MSFT").read_bytes())
    with pytest.raises(RecordUnreadable, match=r"of MSFT, .* MSFT IBM`"):
        registry.champion("IBM")
    assert registry.rename("MSFT", "IBM")  # as after a rename that was cut short
    assert [line.ticker for line in registry.history("ibm")] == ["IBM"]
    with pytest.raises(InvalidTicker):
        registry.history("../IBM")


def test_a_damaged_champion_is_named_with_the_ways_back_and_never_called_absent(home):
    registry = Registry(home.models)
    first, second = night(home.models, 1), night(home.models, 2)
    registry.promote(first)
    registry.promote(second)
    for damage, found in (
        (lambda path: (path / "model.json").write_text("other"), "other content"),
        (shutil.rmtree, "nothing"),
        (Path.touch, "nothing"),  # a file in its place
    ):
        damage(Path(second.path))
        says = rf"{second.path}: .* found {found}; .*stockml rollback"
        with pytest.raises(StoreError, match=says):
            champion_for(home, "IBM", date(2013, 3, 8))
    registry.rollback("IBM", at=EVENING, reason="by hand")
    assert champion_for(home, "IBM", first.session) == registry.champion("IBM")
    assert champion_for(home, "IBM", first.session - timedelta(days=1)) is None
    shutil.rmtree(first.path)  # and there is none before it to go back to
    with pytest.raises(StoreError, match=r"from a backup, or move \S+promotions\.jsonl away"):
        champion_for(home, "IBM", date(2013, 3, 8))


def test_a_history_locked_by_another_process_is_busy(registry):
    registry.promote(night(registry.models, 1))
    lock = FileLock(registry.file("IBM").with_name(".promotions.jsonl.lock"))
    with lock, pytest.raises(StoreBusy):
        replace(registry, lock_timeout_s=0.05).promote(night(registry.models, 2))
