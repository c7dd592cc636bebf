"""A night's key facts are those of its record, and the newest session's stay the newest."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from stockml.evaluation.path_scores import CHAMPION, PUBLISHED
from stockml.home import HomePaths
from stockml.models.regressions import REGRESSION
from stockml.nights.key_figures import NEWEST_FILE, KeyFigures, history, newest
from stockml.storage.receipts import read_record, written_record
from tests.stockml.nights.test_status import kept
from tests.support.nights import recorded_night


def test_a_nights_key_figures_are_read_as_they_were_written() -> None:
    night = recorded_night()
    found, path = KeyFigures.of(night), night.score(PUBLISHED)
    assert night.distributions
    assert night.network_adds
    assert night.training_adds
    assert path
    assert (found.path_adds, found.published_skill) == (None, path.skill)
    gains = {
        "crps_skill": night.distributions.whole[CHAMPION].skill,
        "network_adds": night.network_adds.skill,
        "training_adds": night.training_adds.skill,
    }
    for name, gain in gains.items():
        assert getattr(found, name) == gain
        assert found.metrics()[name] == pytest.approx(100 * gain, abs=6e-4)
    assert read_record(KeyFigures, written_record(found)) == found


def test_the_newest_session_stays_newest_and_a_home_without_its_key_figures_is_read_from_records(
    home: HomePaths,
) -> None:
    night = kept(home)
    later = night.finished_at + timedelta(days=9)
    kept(home, replace(night, session=date(2013, 2, 27), key="0" * 64, finished_at=later))
    # logged at last
    kept(home, replace(night, key="1" * 64, finished_at=night.finished_at - timedelta(hours=1)))
    file, found = home.nights / "IBM" / NEWEST_FILE, KeyFigures.of(night)
    assert newest(home.nights, "IBM") == found
    whole = file.read_bytes()
    kept(home, replace(night, ticker="MSFT", publisher=REGRESSION))
    of_another = (home.nights / "MSFT" / NEWEST_FILE).read_bytes()
    changed = whole.replace(b'"coverage_80": 0.', b'"coverage_80": 1.')
    for damaged in (b"{", changed, of_another):
        file.write_bytes(damaged)
        assert newest(home.nights, "IBM") == found
    file.unlink()
    assert newest(home.nights, "IBM") == found
    sessions = [each.session for each in history(home.nights, "IBM")]
    assert sessions == [date(2013, 2, 27), night.session]
