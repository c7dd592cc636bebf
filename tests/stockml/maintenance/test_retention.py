"""What may go and what stays, in a home with every kind of file, old and new."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from stockml.home import HomePaths
from stockml.maintenance.retention import Removal, RetentionSettings, due, remove
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, write_night
from stockml.nights.status import ATTEMPT
from stockml.storage.files import sha256_of, write_atomically
from stockml.training import checkpoint
from tests.support.models import write_model

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION = date(2026, 1, 5)
KEEP = RetentionSettings(payload_days=30, model_days=30, cache_days=30, plot_days=30, night_days=30)


def put(path: Path, days_old: float, content: bytes = b"0123456789") -> Path:
    write_atomically(path, content)
    at = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(path, (at, at))
    return path


def model(home: HomePaths, name: str, days_old: float) -> Path:
    return put(home.models / "IBM" / name / "model.json", days_old, b'{"a": [1]}').parent


def crown(home: HomePaths, folder: Path, number: int) -> None:
    key, sha256 = f"{number:064x}", sha256_of(folder) or ""
    line = Promotion("IBM", "promote", key, str(folder), sha256, None, SESSION, "", NOW)
    Registry(home.models).promote(line)


def night(
    home: HomePaths, number: int, days_old: float, *, run_id: str | None, folder: Path | None = None
) -> Path:
    key = f"{9 - number}" * 64  # the newest in time is the first in name
    told = Night(
        "IBM", SESSION + timedelta(days=number), key, "", "", "", NOW, mlflow_run_id=run_id
    )
    path = night_path(home.nights, "IBM", key)
    write_night(replace(told, model_folder=str(folder) if folder else None), path)
    return put(path, days_old, path.read_bytes()).parent


def plan(home: HomePaths, keep: RetentionSettings = KEEP) -> tuple[Removal, ...]:
    return tuple(due(home, keep, NOW)[0])


def going(home: HomePaths, keep: RetentionSettings = KEEP) -> list[str]:
    return sorted(f"{each.kind} {each.path.relative_to(home.root)}" for each in plan(home, keep))


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("payloads", "payloads/IBM/{}.json.gz"),
        ("evaluations", "evaluations/IBM/{}/metrics.json"),
    ],
)
def test_old_files_go_but_each_tickers_newest_stays(home: HomePaths, kind: str, place: str) -> None:
    for number, days_old in ((1, 90), (2, 60), (3, 40)):
        put(home.root / place.format(number), days_old)
    for_two = [(home.root / place.format(number)) for number in (1, 2)]
    named = [path.parent if path.parent.parent.name == "IBM" else path for path in for_two]
    assert going(home) == sorted(f"{kind} {path.relative_to(home.root)}" for path in named)


def test_the_champion_and_the_one_before_it_stay_whatever_their_age(home: HomePaths) -> None:
    folders = [model(home, f"m{number}", 500 - number) for number in range(5)]
    for number, folder in enumerate(folders[:3]):
        crown(home, folder, number)
    os.utime(Registry(home.models).file("IBM"), (0, 0))
    assert going(home) == ["models models/IBM/m0", "models models/IBM/m3"]
    assert going(home, KEEP.changed(champions=3)) == ["models models/IBM/m3"]


def test_what_mlflow_needs_to_serve_a_champion_stays(home: HomePaths) -> None:
    """That is its night's record and its evaluation, without which its model could not be
    registered again."""
    crown(home, model(home, "m1", 500), 1)
    for name, days_old in (("of the champion", 500), ("older", 400), ("newest", 0)):
        put(home.evaluations / "IBM" / name / "assessment.json", days_old)
    told = Night("IBM", SESSION, f"{1:064x}", "", "", "", NOW, mlflow_run_id="logged")
    path = night_path(home.nights, "IBM", told.key)
    write_night(
        replace(told, evaluation_folder=str(home.evaluations / "IBM" / "of the champion")), path
    )
    put(path, 500, path.read_bytes())
    night(home, 2, 0, run_id="logged")
    assert going(home) == ["evaluations evaluations/IBM/older"]


def test_after_a_rollback_the_champion_in_office_stays(home: HomePaths) -> None:
    for number in range(3):
        folder = write_model(home.models / "IBM" / f"m{number}")
        for file in folder.iterdir():
            put(file, 500 - number, file.read_bytes())
        crown(home, folder, number)
    Registry(home.models).rollback("IBM", at=NOW, reason="by hand")
    model(home, "newest", 400)
    assert going(home) == ["models models/IBM/m2"]


def test_an_interrupted_training_goes_after_days(home: HomePaths) -> None:
    for name, days_old in (("under-way", 29), ("given-up", 31)):
        put(home.models / "IBM" / name / "_held_out" / checkpoint.NAME, days_old)
    put(home.models / "IBM" / "under-way" / "_published" / checkpoint.NAME, 40)
    model(home, "done", 40)
    for month, days_old in (("2025-06-30", 29), ("2024-06-28", 31)):
        put(home.pretraining / month / checkpoint.NAME, days_old)
    given_up = ["checkpoints models/IBM/given-up", "pretraining pretraining/2024-06-28"]
    assert sorted(going(home)) == given_up, "the newest model is a finished one"


def test_what_a_pending_night_and_the_newest_need_stays(home: HomePaths) -> None:
    of_newest, needed_model, other = (
        model(home, "m0", 95),
        model(home, "m1", 90),
        model(home, "m2", 80),
    )
    model(home, "m3", 70)
    night(home, 1, 90, run_id=None, folder=needed_model)
    night(home, 2, 80, run_id="logged", folder=other)
    night(home, 3, 70, run_id="logged", folder=of_newest)
    put(home.nights / "AAPL" / ATTEMPT, 90)  # of a ticker that has had no night yet
    assert going(home) == ["models models/IBM/m2", f"nights nights/IBM/{'7' * 16}"]


def damage_promotions(home: HomePaths) -> None:
    put(Registry(home.models).file("IBM"), 1, b"not JSON\n")


def damage_night(home: HomePaths) -> None:
    put(home.nights / "IBM" / "0" / "night.json", 1, b"{")


@pytest.mark.parametrize("damage", [damage_promotions, damage_night])
def test_what_cannot_be_read_counts_as_needed(
    home: HomePaths, damage: Callable[[HomePaths], None]
) -> None:
    for number in range(3):
        model(home, f"m{number}", 500 - number)
        put(home.models / "AAPL" / f"m{number}" / "model.json", 500 - number)
    damage(home)
    assert going(home) == ["models models/AAPL/m0", "models models/AAPL/m1"]
    (why,) = due(home, KEEP, NOW)[1]
    assert "IBM" in why


def test_what_killed_writers_left_goes_wherever_it_lies(home: HomePaths) -> None:
    crown(home, model(home, "m1", 500), 1)
    night(home, 1, 0, run_id=None)
    places = ["", "settings/", "pretrained/superseded/0/", "ledger/", "store/history/", "nights/"]
    left = [
        put(home.root / f"{place}.x.json.123-456.tmp", 2) for place in (*places, "models/IBM/m1/")
    ]
    left.append(put(home.models / "IBM" / ".m0.removed" / checkpoint.NAME, 9).parent)
    for other in ("artifacts/.x.json.123-456.tmp", ".x.tmp", "x.json.123-456.tmp"):
        put(home.root / other, 2)
    put(home.root / ".x.json.123-789.tmp", 0.5)
    damage_promotions(home)
    assert going(home) == sorted(f"leftovers {path.relative_to(home.root)}" for path in left)
    remove(plan(home))
    assert not any(path.exists() for path in left)


def test_the_store_and_the_ledger_are_never_touched(home: HomePaths) -> None:
    old = [
        put(home.root / place, 5_000)
        for place in ("store/IBM.parquet", "store/.x.tmp", "ledger/IBM.parquet")
    ]
    inside = replace(home, store=home.payloads / "IBM")
    for number in range(3):
        put(home.payloads / "IBM" / f"{number}.json.gz", 5_000)
    assert plan(inside) == ()
    remove(plan(home))
    assert all(path.exists() for path in old)


def test_planning_removes_nothing_and_removing_frees_what_was_planned(home: HomePaths) -> None:
    for number in range(3):
        put(home.payloads / "IBM" / f"{number}.json.gz", 100 - number, bytes(5))
        model(home, f"m{number}", 100 - number)
    planned = plan(home)
    assert [(each.kind, each.size) for each in planned] == [("models", 10)] * 2 + [
        ("payloads", 5)
    ] * 2
    assert all(each.path.exists() for each in planned)
    planned[2].path.unlink()  # somebody else was faster
    remove(planned)
    assert going(home) == []
    remove(planned)
    assert [path.name for path in (home.models / "IBM").iterdir()] == ["m2"]


def test_a_link_is_not_followed_and_a_copy_made_by_hand_stays(
    home: HomePaths, tmp_path: Path
) -> None:
    outside = put(tmp_path / "elsewhere" / "model.json", 900)
    (home.models / "IBM").mkdir(parents=True)
    (home.models / "IBM" / "link").symlink_to(outside.parent)
    model(home, "m1", 90)
    for name in ("m1", "m2"):
        put(home.models / "IBM copy" / name / "model.json", 900)
    assert going(home) == []
