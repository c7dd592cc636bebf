"""An audit names everything that a later bar has changed, wherever it is kept, and nothing else."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.cli.app import run
from stockml.errors import InvalidSession
from stockml.home import HomePaths
from stockml.pipeline.audit import audit, masked_home_path
from stockml.pipeline.dataset import renormalise
from stockml.pipeline.ingest import as_stored
from stockml.prices.store import BarStore
from stockml.settings import Settings
from tests.support.json_fields import check_fields
from tests.support.recordings import recorded

SESSION, AFTER = date(2013, 2, 22), datetime(2013, 3, 3, tzinfo=UTC)


@pytest.fixture
def stored(home: HomePaths) -> HomePaths:
    bars = recorded("IBM").tail(1_500)
    BarStore.of(home).append("IBM", bars, recorded_at=AFTER, source="test", session=date(2013, 3, 1))
    return home


def series_of(
    place: HomePaths, ticker: str, session: date, settings: Settings, calendar: str | None
) -> dict[str, Path]:
    return {"series": Path(renormalise(place, as_stored(place, ticker, session), calendar=calendar).path)}


def with_the_last_close(
    place: HomePaths, ticker: str, session: date, settings: Settings, calendar: str | None
) -> dict[str, Path]:
    """A night that looks ahead: it scales by the store's newest close, tomorrow's where there is one."""
    path = place.root / "decision.json"
    path.write_text(json.dumps({"scale": {"last": float(BarStore.of(place).adjusted(ticker)["close"].iloc[-1])}}))
    return {**series_of(place, ticker, session, settings, calendar), "decision": path}


def test_a_night_that_looks_ahead_is_reported_with_what_it_looked_at(stored: HomePaths, tmp_path: Path) -> None:
    def audited(night: Callable[..., dict[str, Path]], name: str) -> dict[str, tuple[str, ...]]:
        found = audit(stored, "IBM", SESSION, Settings(), None, folder=tmp_path / name, now=AFTER, night=night)
        assert (found.later, found.clean) == (5, not any(part.differences for part in found.parts.values()))
        assert all(part.values > 1_000 for name, part in found.parts.items() if name != "decision")
        return {name: part.differences for name, part in found.parts.items()}

    assert audited(series_of, "honest") == {"series": (), "windows and simple rows": ()}
    leaking = audited(with_the_last_close, "leaking")
    assert leaking["series"] == leaking["windows and simple rows"] == ()
    (said,) = leaking["decision"]
    assert said.startswith("json: scale.last: 202.91 and ")


@pytest.mark.parametrize("fetched", [0, 30, 700])
def test_imported_history_gets_another_future_too(home: HomePaths, tmp_path: Path, fetched: int) -> None:
    """The audited night lies before the fetched bars or within them, or none were fetched."""
    bars, store = recorded("IBM").tail(1_000), BarStore.of(home)
    store.record_import("IBM", bars.iloc[:-3], recorded_at=AFTER, source="a file")
    if fetched:
        store.append("IBM", bars.tail(fetched), recorded_at=AFTER, source="test", session=date(2013, 3, 1))
    session = bars.index[-400].date()
    found = audit(home, "IBM", session, Settings(), None, folder=tmp_path / "a", now=AFTER, night=series_of)
    assert found.clean
    assert all(part.values > 1_000 for part in found.parts.values())
    leaking = audit(home, "IBM", session, Settings(), None, folder=tmp_path / "b", now=AFTER, night=with_the_last_close)
    assert not leaking.clean


def test_a_night_before_the_first_promotion_can_be_audited(stored: HomePaths, tmp_path: Path) -> None:
    (kept := stored.bases / "superseded" / "0f" / "base-2012-12.npz").parent.mkdir(parents=True)
    kept.write_bytes(b"learned here")

    def night(place: HomePaths, *asked: Any) -> dict[str, Path]:
        assert (place.root / kept.relative_to(stored.root)).read_bytes() == b"learned here"
        return {**series_of(place, *asked), "gate": masked_home_path(place, place.models / "IBM" / "promotions.jsonl")}

    found = audit(stored, "IBM", SESSION, Settings(), None, folder=tmp_path / "a", now=AFTER, night=night)
    assert (found.clean, "gate" in found.parts) == (True, True)


def test_a_day_without_a_bar_is_refused(stored: HomePaths, tmp_path: Path) -> None:
    with pytest.raises(InvalidSession, match="2013-02-23"):
        audit(stored, "IBM", date(2013, 2, 23), Settings(), None, folder=tmp_path / "a", now=AFTER)


@pytest.mark.slow
def test_an_audit_of_the_nights_real_steps_is_clean(stored: HomePaths, capfd: pytest.CaptureFixture[str]) -> None:
    small = ("evaluation.test_sessions=300", "evaluation.validation_sessions=300")
    changed = [word for name in small for word in ("--set", name)]
    assert run(["audit", "IBM", "--session", str(SESSION), "--json", *changed]) == 0
    found = json.loads(capfd.readouterr().out)
    check_fields("audit", found)
    assert found["clean"]
    parts = ["series", "decision", "weights", "predictions and metrics", "gate", "ledger", "windows and simple rows"]
    assert list(found["parts"]) == parts
    assert all(part["values"] > 4 for part in found["parts"].values())
