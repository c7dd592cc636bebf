"""What may go and what stays, in a home with every kind of file, old and new."""

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.maintenance.retention import RetentionSettings, due, remove
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, write_night
from stockml.nights.status import ATTEMPT
from stockml.storage.files import sha256_of, write_atomically
from stockml.training import checkpoint
from tests.support.models import write_model

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION = date(2026, 1, 5)
KEEP = RetentionSettings(payload_days=30, model_days=30, cache_days=30, plot_days=30, night_days=30)


def put(home, place, days_old, content=bytes(10)):
    write_atomically(path := home.root / place, content)
    at = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(path, (at, at))
    return path


def models(home, *days_old, ticker="IBM"):
    """m0, m1, …, so many days old."""
    names = [f"models/{ticker}/m{number}/model.json" for number in range(len(days_old))]
    return [put(home, *each).parent for each in zip(names, days_old, strict=True)]


def key(number):
    return f"{9 - number}" * 64  # the newest in time is the first in name


def crown(home, *folders):
    for number, folder in enumerate(folders):
        line = key(number), str(folder), sha256_of(folder), None, SESSION, "", NOW
        Registry(home.models).promote(Promotion("IBM", "promote", *line))


def night(home, number, days_old, run_id="logged", **folders):
    session, hashes = SESSION + timedelta(days=number), ("", "", "")
    told = Night("IBM", session, key(number), *hashes, NOW, mlflow_run_id=run_id)
    path = night_path(home.nights, "IBM", told.key)
    write_night(replace(told, **{name: str(folder) for name, folder in folders.items()}), path)
    put(home, path, days_old, path.read_bytes())


def going(home, keep=KEEP):
    plan, _ = due(home, keep, NOW)
    return sorted(f"{each.kind} {each.path.relative_to(home.root)}" for each in plan)


def test_the_champion_and_the_one_before_it_stay_whatever_their_age(home):
    first, second, third, _ = models(home, 500, 499, 498, 497)
    write_model(second)  # which can be loaded: the newest
    crown(home, first, second, third)
    os.utime(Registry(home.models).file("IBM"), (0, 0))
    assert going(home) == ["models models/IBM/m0", "models models/IBM/m3"]
    assert going(home, KEEP.changed(champions=3)) == ["models models/IBM/m3"]
    Registry(home.models).rollback("IBM", at=NOW, reason="by hand")
    assert going(home) == ["models models/IBM/m2", "models models/IBM/m3"]


def test_what_mlflow_needs_to_serve_a_champion_stays(home):
    """That is its night's record and its evaluation, without which its model could not be
    registered again."""
    crown(home, *models(home, 500))
    needed, *_ = (
        put(home, f"evaluations/IBM/{name}/assessment.json", days_old).parent
        for name, days_old in (("of the champion", 500), ("older", 400), ("newest", 0))
    )
    night(home, 0, 500, evaluation_folder=needed)
    night(home, 1, 0)
    assert going(home) == ["evaluations evaluations/IBM/older"]


def test_an_interrupted_training_goes_after_days(home):
    for place, days_old in (
        ("models/IBM/under-way/_held_out", 29),
        ("models/IBM/under-way/_published", 40),
        ("models/IBM/given-up/_held_out", 31),
        ("pretraining/2025-06-30", 29),
        ("pretraining/2024-06-28", 31),
    ):
        put(home, f"{place}/{checkpoint.NAME}", days_old)
    models(home, 40)
    given_up = ["checkpoints models/IBM/given-up", "pretraining pretraining/2024-06-28"]
    assert going(home) == given_up, "the newest model is a finished one"


def test_what_a_pending_night_and_the_newest_need_stays(home):
    of_newest, needed, other, _ = models(home, 95, 90, 80, 70)
    night(home, 1, 90, run_id=None, model_folder=needed)
    night(home, 2, 80, model_folder=other)
    night(home, 3, 70, model_folder=of_newest)
    put(home, f"nights/AAPL/{ATTEMPT}", 90)  # of a ticker that has had no night yet
    assert going(home) == ["models models/IBM/m2", f"nights nights/IBM/{'7' * 16}"]


@pytest.mark.parametrize("damaged", ["models/IBM/promotions.jsonl", "nights/IBM/0/night.json"])
def test_what_cannot_be_read_counts_as_needed(home, damaged):
    for ticker in ("IBM", "AAPL"):
        models(home, 500, 499, 498, ticker=ticker)
    put(home, damaged, 1, b"{\n")
    assert going(home) == ["models models/AAPL/m0", "models models/AAPL/m1"]
    [why] = due(home, KEEP, NOW)[1]
    assert "IBM" in why


def test_what_killed_writers_left_goes_wherever_it_lies(home):
    crown(home, *models(home, 500))
    night(home, 1, 0, run_id=None)
    places = ["", "settings/", "pretrained/superseded/0/", "ledger/", "store/history/", "nights/"]
    left = [put(home, f"{each}.x.json.1-4.tmp", 2) for each in (*places, "models/IBM/m0/")]
    left.append(put(home, f"models/IBM/.m1.removed/{checkpoint.NAME}", 9).parent)
    for other in ("artifacts/.x.json.1-4.tmp", ".x.tmp", "x.json.1-4.tmp"):
        put(home, other, 2)
    put(home, ".x.json.1-9.tmp", 0.5)
    put(home, "models/IBM/promotions.jsonl", 1, b"not JSON\n")
    assert going(home) == sorted(f"leftovers {path.relative_to(home.root)}" for path in left)
    remove(due(home, KEEP, NOW)[0])
    assert not any(path.exists() for path in left)


def test_the_store_and_the_ledger_are_never_touched_nor_what_a_link_leads_to_or_a_copy(
    home, tmp_path
):
    for place in ("store/IBM.parquet", "store/.x.tmp", "ledger/IBM.parquet"):
        put(home, place, 5_000)
    outside = put(home, tmp_path / "elsewhere" / "model.json", 900)
    models(home, 90)
    (home.models / "IBM" / "link").symlink_to(outside.parent)
    models(home, 900, 900, ticker="IBM copy")  # made by hand
    assert going(home) == []
    for number in range(3):
        put(home, f"payloads/IBM/{number}.json.gz", 5_000)
    assert going(replace(home, store=home.payloads / "IBM")) == []


def test_planning_removes_nothing_and_removing_frees_what_was_planned(home):
    for number in range(3):
        put(home, f"payloads/IBM/{number}.json.gz", 100 - number, bytes(5))
    models(home, 100, 99, 98)
    plan, _ = due(home, KEEP, NOW)
    assert [(each.kind, each.size) for each in plan] == [("models", 10)] * 2 + [("payloads", 5)] * 2
    assert all(each.path.exists() for each in plan)
    plan[2].path.unlink()  # somebody else was faster
    remove(plan)
    assert going(home) == []
    remove(plan)
    assert [path.name for path in (home.models / "IBM").iterdir()] == ["m2"]
