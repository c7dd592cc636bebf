"""The morning's table: each share's close and range, what is new and what went wrong, and on how
many the network helps. The night of the newest session counts, whatever ran last.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from deployments.cli.app import run
from stockml.evaluation.path_scores import PUBLISHED
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
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
    assert row(home, MORNING + timedelta(days=3)).cells()[5] == "1 behind"
    later = MORNING + timedelta(days=14)
    assert (row(home, later).state, row(home, later).cells()[5]) == (
        "expired, 10 sessions behind",
        "expired",
    )
    patient = kept(
        home, recorded_night(settings={**recorded_night().settings, "ageing.old_forecast": 10})
    )
    assert row(home, later).state == "10 sessions behind"
    age = night_age(home.nights, patient, later + timedelta(days=1))
    assert str(age) == "expired: made after the close of 2013-02-28, 11 sessions ago (limit 10)"


def test_a_row_is_about_the_share_and_its_figures_about_the_model(home: HomePaths) -> None:
    night = recorded_night(metrics={"answer/day_change_pct": -2.0})
    kept(home, night)
    assert night.forecast
    assert night.verdict
    band, [found] = night.forecast.band(80), status.rows(home, ["IBM"], MORNING)
    cells = (
        "IBM",
        "200.83",
        f"{band.low[19]:.2f} to {band.high[19]:.2f}",
        "calm",
        "-2.0%",
        "up to date",
        "–",
    )
    assert found.cells() == cells
    assert max(map(len, status.text([found]).splitlines())) <= 80
    assert "network adds" not in status.text([found])
    assert found.details()[2] in status.text([found], details=True)
    tomorrow = replace(
        night, session=date(2013, 3, 1), key="1" * 64, verdict=replace(night.verdict, promoted=True)
    )
    wild = replace(night.forecast.outlook[1], percentile=90.0)
    forecast = replace(night.forecast, outlook=(wild,))
    for _ in range(2):  # the second time, another night of the session
        kept(home, replace(tomorrow, forecast=forecast))
        assert row(home).cells()[3:5] == ("wild", "-2.0%, was calm, new model")


def test_an_expired_forecast_gives_no_number(home: HomePaths) -> None:
    kept(home)
    assert row(home, MORNING + timedelta(days=14)).cells()[1:6] == (*["–"] * 4, "expired")


def test_a_failure_is_shown_until_a_night_completes(home: HomePaths) -> None:
    failed = status.LastRun(
        "Failed", "the key is wrong", recorded_night().finished_at + timedelta(days=1)
    )
    status.record_run(home.nights, "IBM", failed)
    assert (row(home).state, row(home).cells()[5]) == ("failed: the key is wrong", "failed")
    kept(home)
    assert (row(home).state, row(home).cells()[5]) == (
        "up to date; failed: the key is wrong",
        "failed",
    ), "a repetition"
    [found] = listed = status.rows(home, ["IBM"], MORNING + timedelta(days=3))
    assert (found.state, found.cells()[5]) == (
        "1 session behind; failed: the key is wrong",
        "failed",
    )
    assert "IBM: 1 session behind; failed: the key is wrong" in status.text(listed).splitlines()
    assert (
        "- IBM: 1 session behind; failed: the key is wrong" in status.markdown(listed).splitlines()
    )
    assert (found.plain()["state"], "brief" in found.plain()) == (found.state, False)
    status.record_run(home.nights, "IBM", replace(failed, state="At rest"))
    assert row(home).state == "up to date", (
        "a run that was skipped after the night took nothing from it"
    )
    assert row(home, MORNING + timedelta(days=14)).cells()[5] == "at rest", (
        "at rest, an old forecast is no news"
    )
    status.record_run(home.nights, "IBM", replace(failed, state="Completed"))
    assert row(home, MORNING + timedelta(days=3)).state == "1 session behind"
    status.record_run(
        home.nights, "IBM", replace(failed, at=recorded_night().finished_at - timedelta(days=1))
    )
    assert row(home, MORNING + timedelta(days=3)).state == "1 session behind"


def test_an_unreadable_file_is_its_tickers_state_and_costs_no_other_its_row(
    home: HomePaths,
) -> None:
    kept(home)
    (damaged := Ledger(home.ledger).file("KO")).parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    fine, broken = listed = status.rows(home, ["KO", "IBM"], MORNING)
    assert (fine.state, broken.cells()[:3]) == ("up to date", ("KO", "–", "–"))
    assert f"KO: {damaged}: expected a readable record" in status.text(listed)


def test_the_next_run_is_told_in_new_york() -> None:
    at = datetime(2013, 3, 5, 0, 45, tzinfo=UTC)
    assert status.TickerRow("IBM", None, "", next_run=at).cells()[-1] == "Mon 19:45"
    assert [
        status.TickerRow("IBM", None, "", paused=paused).cells()[-1] for paused in (True, False)
    ] == ["paused", "–"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_night_that_failed_once_it_had_published_lacks_figures_and_no_forecast(
    home: HomePaths, is_first: bool
) -> None:
    """The forecast is put into the ledger first; the night's record may then find no room on the
    disk."""
    if not is_first:
        kept(home)
    forecast, at = recorded_night().forecast, datetime(2013, 3, 2, 4, tzinfo=UTC)
    assert forecast
    sessions = tuple(day + timedelta(days=1) for day in forecast.sessions)
    published = replace(forecast, origin=date(2013, 3, 1), sessions=sessions)
    Ledger(home.ledger).publish(LedgerEntry("IBM", "0" * 64, at, published, "run", "1"))
    status.record_run(home.nights, "IBM", status.LastRun("Failed", "the disk is full", at))
    found = row(home, at + timedelta(hours=6))
    assert (found.session, found.state) == (
        date(2013, 3, 1),
        "up to date; failed: the disk is full",
    )
    assert found.cells()[1:6] == (*["–"] * 4, "failed")
    assert status.missing(home, ["IBM"], at + timedelta(hours=6), {}) == []


def test_the_headline_counts_only_gains_beyond_luck() -> None:
    usual = KeyFigures.of(recorded_night())
    helps = [True, False, None]
    listed = [
        status.TickerRow("IBM", DAY, "", 0, False, replace(usual, network_helps=each))
        for each in helps
    ]
    listed.append(status.TickerRow("KO", None, "no night yet"))
    assert "The network's gain is beyond luck on 1 of 3 shares." in status.text(listed).splitlines()
    assert (
        "The network's gain is beyond luck on 1 of 3 shares."
        in status.markdown(listed).splitlines()
    )


@pytest.mark.parametrize(
    ("p_value", "shown"), [(0.01, ("+1.00%", "0.01")), (None, ("too few", "too few"))]
)
def test_a_gain_from_too_few_origins_has_no_figures(
    p_value: float | None, shown: tuple[str, str]
) -> None:
    figures = replace(KeyFigures.of(recorded_night()), network_adds=0.01, network_adds_p=p_value)
    assert status.TickerRow("IBM", DAY, "", 0, False, figures).details()[2:4] == shown


def test_the_status_command_needs_no_server(
    home: HomePaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", MORNING.isoformat())
    claim(home, "replay")
    kept(home)
    assert run(["status", "IBM", "MSFT"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split()[:4] == ["IBM", "200.83", *shown[1].split()[2:4]]
    assert shown[2].split()[:4] == ["MSFT", "–", "–", "–"]
    assert shown[-1].startswith("No server is up")
    assert run(["status", "IBM", "MSFT", "--json"]) == 0
    found, _ = json.loads(capsys.readouterr().out)["tickers"]
    assert (found["session"], found["published_skill"]) == (
        "2013-02-28",
        recorded_night().score(PUBLISHED).skill,
    )
