"""The morning's table: each ticker's newest forecast, its age and what went wrong since, and for how many tickers the
network adds something. The night of the newest session counts, whatever ran last.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from deployments.cli.app import run
from stockml.evaluation.path_scores import CHAMPION, LSTM, PUBLISHED
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.models.pooled_regression import POOLED
from stockml.nights import status
from stockml.nights.key_figures import KeyFigures, keep_newest, night_age
from stockml.nights.record import Night, night_path, write_night
from stockml.provider.price_source import claim
from tests.support.nights import recorded_night

DAY = date(2013, 2, 28)
MORNING = datetime(2013, 3, 1, 12, tzinfo=UTC)  # the session of 2013-02-28 is the newest final one


def kept(home: HomePaths, night: Night | None = None) -> Night:
    night = night or recorded_night()
    write_night(night, night_path(home.nights, night.ticker, night.key))
    keep_newest(home.nights, night)
    return night


def row(home: HomePaths, now: datetime = MORNING, ticker: str = "IBM") -> status.TickerRow:
    (found,) = status.rows(home, [ticker], now)
    return found


def test_a_row_says_how_old_its_forecast_is_by_the_limit_of_its_own_night(home: HomePaths) -> None:
    assert row(home).state == "no night yet"
    night = kept(home)
    assert (row(home).state, row(home).key_figures) == ("up to date", KeyFigures.of(night))
    assert row(home, MORNING + timedelta(days=3)).state == "1 session behind"
    assert row(home, MORNING + timedelta(days=3)).cells()[2] == "1 behind"
    later = MORNING + timedelta(days=14)
    assert (row(home, later).state, row(home, later).cells()[2]) == ("expired, 10 sessions behind", "expired")
    patient = kept(home, recorded_night(settings={**recorded_night().settings, "ageing.old_forecast": 10}))
    assert row(home, later).state == "10 sessions behind"
    age = night_age(home.nights, patient, later + timedelta(days=1))
    assert str(age) == "expired: made after the close of 2013-02-28, 11 sessions ago (limit 10)"


@pytest.mark.parametrize(
    ("publisher", "path_adds", "path", "width"),
    [
        (LSTM, None, "+0.055", "network 84%"),
        (CHAMPION, None, "+0.055", "network 84%"),
        (POOLED, None, "+0.055", "regression 84%"),
        (POOLED, -0.1, "+0.055", "regression 84%"),
        (LSTM, 0.01, "network's +0.055", "regression 84%"),
        ("", None, "+0.055", "84%"),
    ],
)
def test_credit_goes_to_the_part_that_earned_it(publisher: str, path_adds: float | None, path: str, width: str) -> None:
    usual = KeyFigures.of(recorded_night())
    key_figures = replace(
        usual, publisher=publisher, path_adds=path_adds, published_skill=0.0551, width_against_usual=0.8407
    )
    assert status.TickerRow("IBM", DAY, "", 0, False, key_figures).cells()[3:5] == (path, width)
    nothing = replace(key_figures, publisher="", width_against_usual=None)
    assert status.TickerRow("IBM", DAY, "", 0, False, nothing).cells()[4] == "–"
    for skill in (None, 0.0):
        assert status.TickerRow("IBM", DAY, "", 0, False, replace(nothing, published_skill=skill)).cells()[3] == "–"


def test_a_failure_is_shown_until_a_night_completes(home: HomePaths) -> None:
    failed = status.LastRun("Failed", "the key is wrong", recorded_night().finished_at + timedelta(days=1))
    status.record_run(home.nights, "IBM", failed)
    assert (row(home).state, row(home).cells()[2]) == ("failed: the key is wrong", "failed")
    kept(home)
    assert (row(home).state, row(home).cells()[2]) == ("up to date; failed: the key is wrong", "failed"), "a repetition"
    [found] = listed = status.rows(home, ["IBM"], MORNING + timedelta(days=3))
    assert (found.state, found.cells()[2]) == ("1 session behind; failed: the key is wrong", "failed")
    assert "IBM: 1 session behind; failed: the key is wrong" in status.text(listed).splitlines()
    assert "- IBM: 1 session behind; failed: the key is wrong" in status.markdown(listed).splitlines()
    assert (found.plain()["state"], "brief" in found.plain()) == (found.state, False)
    status.record_run(home.nights, "IBM", replace(failed, state="At rest"))
    assert row(home).state == "up to date", "a run that was skipped after the night took nothing from it"
    assert row(home, MORNING + timedelta(days=14)).cells()[2] == "at rest", "at rest, an old forecast is no news"
    status.record_run(home.nights, "IBM", replace(failed, state="Completed"))
    assert row(home, MORNING + timedelta(days=3)).state == "1 session behind"
    status.record_run(home.nights, "IBM", replace(failed, at=recorded_night().finished_at - timedelta(days=1)))
    assert row(home, MORNING + timedelta(days=3)).state == "1 session behind"


def test_an_unreadable_file_is_its_tickers_state_and_costs_no_other_its_row(home: HomePaths) -> None:
    kept(home)
    (damaged := Ledger(home.ledger).file("KO")).parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    fine, broken = listed = status.rows(home, ["KO", "IBM"], MORNING)
    assert (fine.state, broken.cells()[:3]) == ("up to date", ("KO", "–", "unreadable"))
    assert f"KO: {damaged}: expected a readable record" in status.text(listed)


def test_the_next_run_is_told_in_utc() -> None:
    at = datetime(2013, 3, 4, 19, 45, tzinfo=timezone(timedelta(hours=-5)))
    assert status.TickerRow("IBM", None, "", next_run=at).cells()[-1] == "Tue 00:45"
    assert [status.TickerRow("IBM", None, "", paused=paused).cells()[-1] for paused in (True, False)] == ["paused", "–"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_night_that_failed_once_it_had_published_lacks_figures_and_no_forecast(
    home: HomePaths, is_first: bool
) -> None:
    """The forecast is put into the ledger first; the night's record may then find no room on the disk."""
    if not is_first:
        kept(home)
    forecast, at = recorded_night().forecast, datetime(2013, 3, 2, 4, tzinfo=UTC)
    assert forecast
    sessions = tuple(day + timedelta(days=1) for day in forecast.sessions)
    published = replace(forecast, origin=date(2013, 3, 1), sessions=sessions)
    Ledger(home.ledger).publish(LedgerEntry("IBM", "0" * 64, at, published, "run", "1"))
    status.record_run(home.nights, "IBM", status.LastRun("Failed", "the disk is full", at))
    found = row(home, at + timedelta(hours=6))
    assert (found.session, found.state) == (date(2013, 3, 1), "up to date; failed: the disk is full")
    assert found.cells()[2:6] == ("failed", "–", "–", "–")
    assert status.missing(home, ["IBM"], at + timedelta(hours=6), {}) == []


@pytest.mark.parametrize(("p_value", "shown"), [(0.01, "+1.00%"), (0.05, "+1.00% ~"), (None, "too few")])
def test_a_gain_within_the_noise_is_marked_and_one_from_too_few_origins_has_no_figures(
    p_value: float | None, shown: str
) -> None:
    key_figures = replace(
        KeyFigures.of(recorded_night()), path_adds=None, network_adds=0.01, network_adds_p=p_value, published_skill=0.1
    )
    listed = [status.TickerRow("IBM", DAY, "", 0, False, key_figures)]
    assert listed[0].cells()[3::2] == ("+0.100" if p_value else shown, shown)
    clearly = f"on 1 of 1 ticker (100%), on {int(shown == '+1.00%')} by more than the noise"
    assert (clearly if p_value else "No night yet says") in status.share_sentence(listed)
    for given, width in (((), 80), ((60,), 60)):
        assert max(map(len, status.text(listed, *given).partition("\n\n")[2].splitlines())) <= width


def test_the_status_command_needs_no_server(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", MORNING.isoformat())
    claim(home, "replay")
    kept(home)
    assert run(["status", "IBM", "MSFT"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split()[:4] == ["IBM", "2013-02-28", "up", "to"]
    assert shown[2].split()[:4] == ["MSFT", "–", "no", "night"]
    assert shown[-1].startswith("No server is up")
    assert run(["status", "IBM", "MSFT", "--json"]) == 0
    found, _ = json.loads(capsys.readouterr().out)["tickers"]
    assert (found["session"], found["published_skill"]) == ("2013-02-28", recorded_night().score(PUBLISHED).skill)
