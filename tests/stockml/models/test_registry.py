"""Promotions are only added, one per key; a rollback goes back one champion at a time; damage is
named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidTicker, NoChampion, RecordUnreadable, StoreBusy, StoreError
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry, champion_for
from stockml.storage.files import sha256_of
from tests.support.models import write_model

EVENING = datetime(2013, 2, 28, 23, 30, tzinfo=UTC)


def night(models: Path, number: int, ticker: str = "IBM") -> Promotion:
    """The promotion of a model made on the `number`-th evening."""
    folder = write_model(models / ticker / f"{number:016x}")
    (folder / "weights.npz").write_bytes(f"weights {number}".encode())
    return Promotion(
        ticker=ticker,
        event="promote",
        key=f"{number:064x}",
        path=str(folder),
        sha256=sha256_of(str(folder)) or "",
        version=str(number),
        session=date(2013, 2, 28) + timedelta(days=number),
        reason=f"beats the champion of evening {number - 1}",
        at=EVENING + timedelta(days=number),
    )


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def test_before_the_first_promotion_there_is_no_champion_and_no_file(registry: Registry) -> None:
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
def test_any_promotion_reads_back_as_written(
    line: Promotion, tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry = Registry(tmp_path_factory.mktemp("models"))
    registry.promote(line)
    assert registry.history("IBM") == (line,)


def test_lines_are_only_added_and_a_repeated_night_changes_no_byte(registry: Registry) -> None:
    """So running a night again does not undo its rollback."""
    nights = [night(registry.models, number) for number in (1, 2, 3)]
    written = b""
    for each in nights:
        assert registry.promote(each)
        grown = registry.file("IBM").read_bytes()
        assert grown.startswith(written)
        written = grown
    assert registry.history("IBM") == tuple(nights)
    back = registry.rollback("IBM", at=EVENING + timedelta(days=9), reason="by hand")
    grown = registry.file("IBM").read_bytes()
    assert grown.startswith(written)
    assert not registry.promote(replace(nights[2], reason="again", at=EVENING + timedelta(days=9)))
    assert registry.file("IBM").read_bytes() == grown
    assert registry.champion("IBM") == back


def test_each_rollback_goes_back_one_champion_further(registry: Registry) -> None:
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


@pytest.mark.parametrize("damage", ["its pretrained network is gone", "it was changed"])
def test_a_champion_that_cannot_be_loaded_is_not_rolled_back_to(
    registry: Registry, damage: str
) -> None:
    first, second = night(registry.models, 1), night(registry.models, 2)
    if damage == "it was changed":
        registry.promote(first)
        (Path(first.path) / "weights.npz").write_bytes(b"other")
    else:
        model = json.loads((Path(first.path) / "model.json").read_text())
        model["networks"]["published"]["pool"]["pretrained"] = f"network-2013-01.npz {'0' * 64}"
        (Path(first.path) / "model.json").write_text(json.dumps(model))
        registry.promote(replace(first, sha256=sha256_of(first.path) or ""))
    registry.promote(second)
    before = registry.file("IBM").read_bytes()
    with pytest.raises(NoChampion, match=r"0001 (cannot be loaded: network-2013|is gone or cha)"):
        registry.rollback("IBM", at=EVENING, reason="by hand")
    assert registry.file("IBM").read_bytes() == before


def test_a_moved_installation_still_finds_its_models(registry: Registry, tmp_path: Path) -> None:
    registry.promote(night(registry.models, 1))
    registry.models.rename(tmp_path / "elsewhere")
    champion = Registry(tmp_path / "elsewhere").champion("IBM")
    assert champion is not None
    assert champion.intact()


def test_tickers_are_kept_apart_and_validated(registry: Registry) -> None:
    registry.promote(night(registry.models, 1))
    registry.promote(night(registry.models, 2, "BRK-B"))
    assert [line.ticker for line in registry.history("IBM")] == ["IBM"]
    with pytest.raises(InvalidTicker):
        registry.history("../IBM")


@pytest.mark.parametrize(
    "damage",
    [
        lambda first, second, third: b"",
        lambda first, second, third: first + third,
        lambda first, second, third: first + second.replace(b"evening 1", b"evening 7") + third,
        # the newest has no checksum
        lambda first, second, third: first + second + third.rpartition(b", ")[0] + b"}\n",
        *(
            lambda *lines, more=more: b"".join(lines) + more
            for more in (b"\xff\xfe", b"{half a line", b'{"key": "k"}\n', b"\n")
        ),
    ],
)
def test_a_damaged_history_is_an_error_that_names_the_file_and_is_never_overwritten(
    registry: Registry, damage: Callable[..., bytes]
) -> None:
    for number in (1, 2, 3):
        registry.promote(night(registry.models, number))
    path = registry.file("IBM")
    path.write_bytes(found := damage(*path.read_bytes().splitlines(keepends=True)))
    for attempt in (
        lambda: registry.champion("IBM"),
        lambda: registry.promote(night(registry.models, 4)),
        lambda: registry.rollback("IBM", at=EVENING, reason="by hand"),
    ):
        with pytest.raises(RecordUnreadable, match=r"promotions\.jsonl.* from a backup"):
            attempt()
    assert path.read_bytes() == found


def test_a_history_of_another_ticker_is_refused(registry: Registry) -> None:
    """Its model would be scored and continued as this ticker's champion."""
    registry.promote(night(registry.models, 1, "MSFT"))
    registry.file("IBM").parent.mkdir()
    registry.file("IBM").write_bytes(registry.file("MSFT").read_bytes())
    for look in (registry.history, registry.champion):
        with pytest.raises(RecordUnreadable, match=r"of MSFT, .* MSFT IBM`"):
            look("IBM")
    assert registry.rename("MSFT", "IBM")  # as after a rename that was cut short
    assert [line.ticker for line in registry.history("ibm")] == ["IBM"]


@pytest.mark.parametrize("damage", ["changed", "gone", "a file in its place"])
def test_a_damaged_champion_is_named_with_the_ways_back_and_never_called_absent(
    home: HomePaths, damage: str
) -> None:
    registry = Registry(home.models)
    first, second = night(home.models, 1), night(home.models, 2)
    registry.promote(first)
    registry.promote(second)
    if damage == "changed":
        (Path(second.path) / "weights.npz").write_bytes(b"other")
    else:
        shutil.rmtree(second.path)
    if damage == "a file in its place":
        Path(second.path).write_bytes(b"other")
    found = "other content" if damage == "changed" else "nothing"
    with pytest.raises(StoreError, match=rf"{second.path}: .* found {found}; .*stockml rollback"):
        champion_for(home, "IBM", date(2013, 3, 8))
    registry.rollback("IBM", at=EVENING, reason="by hand")
    assert champion_for(home, "IBM", first.session) == registry.champion("IBM")
    assert champion_for(home, "IBM", first.session - timedelta(days=1)) is None
    shutil.rmtree(first.path)  # and there is none before it to go back to
    with pytest.raises(StoreError, match=r"from a backup, or move \S+promotions\.jsonl away"):
        champion_for(home, "IBM", date(2013, 3, 8))


def test_a_history_locked_by_another_process_is_busy(registry: Registry) -> None:
    registry.promote(night(registry.models, 1))
    impatient = replace(registry, lock_timeout_s=0.05)
    with (
        FileLock(registry.file("IBM").with_name(".promotions.jsonl.lock")),
        pytest.raises(StoreBusy),
    ):
        impatient.promote(night(registry.models, 2))
