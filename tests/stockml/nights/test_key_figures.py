"""A night's key facts are those of its record, and the newest session's stay the newest."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from stockml.evaluation.path_scores import CHAMPION, PUBLISHED
from stockml.home import HomePaths
from stockml.models.har_regression import REGRESSION
from stockml.nights.key_figures import NEWEST_FILE, KeyFigures, history, newest
from stockml.storage.records import read_record, written_record
from tests.stockml.nights.test_status import kept
from tests.support.nights import recorded_night


def test_a_nights_key_figures_are_read_as_they_were_written() -> None:
    night = recorded_night()
    night = replace(night, metrics={**night.metrics, "answer/width_against_usual_pct": 80.0})
    found = KeyFigures.of(night)
    assert night.evaluation
    assert night.distributions
    assert night.verdict
    adds = night.distributions.network_adds
    assert adds
    assert (found.path_adds, found.published_skill) == (
        None,
        night.evaluation.scores[PUBLISHED].skill,
    )
    assert (found.publisher, found.network_adds) == (CHAMPION, adds.skill)
    assert found.crps_skill == night.distributions.whole[CHAMPION].skill
    assert night.distributions.training_adds
    expected = {"crps_skill": 100 * found.crps_skill, "network_adds": 100 * adds.skill}
    expected |= {"training_adds": 100 * night.distributions.training_adds.skill}
    shown = found.metrics()
    assert {name: shown[name] for name in expected} == pytest.approx(expected, abs=6e-4)
    assert read_record(KeyFigures, written_record(found)) == found


def test_the_newest_session_stays_newest_and_a_home_without_its_key_figures_is_read_from_records(
    home: HomePaths,
) -> None:
    night = kept(home)
    older = replace(
        night,
        session=date(2013, 2, 27),
        key="0" * 64,
        finished_at=night.finished_at + timedelta(days=9),
    )
    kept(home, older)
    # logged at last
    kept(home, replace(night, key="1" * 64, finished_at=night.finished_at - timedelta(hours=1)))
    found = newest(home.nights, "IBM")
    assert found == KeyFigures.of(night)
    (home.nights / "IBM" / NEWEST_FILE).unlink()
    assert newest(home.nights, "IBM") == found
    kept(home, replace(night, ticker="MSFT", publisher=REGRESSION))
    of_another = (home.nights / "MSFT" / NEWEST_FILE).read_bytes()
    kept(home)
    changed = (
        (home.nights / "IBM" / NEWEST_FILE)
        .read_bytes()
        .replace(b'"coverage_80": 0.', b'"coverage_80": 1.')
    )
    for damaged in (b"{", changed, of_another):
        (home.nights / "IBM" / NEWEST_FILE).write_bytes(damaged)
        assert newest(home.nights, "IBM") == found
    assert [each.session for each in history(home.nights, "IBM")] == [older.session, night.session]
