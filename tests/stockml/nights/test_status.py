"""The morning's table: each share's close and range, what is new and what went wrong, and on how
many the network helps. The night of the newest session counts, whatever ran last.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.forecasts.ledger import Ledger
from stockml.models.registry import Promotion, Registry
from stockml.models.regressions import REGRESSION
from stockml.nights import status
from stockml.nights.key_figures import (
    NEWEST_FILE,
    KeyFigures,
    history,
    keep_newest,
    newest,
    night_age,
)
from stockml.nights.record import night_path, write_night
from stockml.prices.calendar import sessions_for
from stockml.settings import AgeingSettings
from tests.support.nights import recorded_night
from tests.support.publishing import LAST, publish

DAY = date(2013, 2, 28)
MORNING = datetime(2013, 3, 1, 12, tzinfo=UTC)  # the session of 2013-02-28 is the newest final one
MONDAY, EXPIRED = MORNING + timedelta(days=3), MORNING + timedelta(days=14)
FAILED = status.LastRun("Failed", "the key is wrong", datetime(2013, 3, 1, 23, 31, tzinfo=UTC))


def kept(home, night=None):
    night = night or recorded_night()
    write_night(night, night_path(home.nights, night.ticker, night.key))
    keep_newest(home.nights, night)
    return night


def row(home, now=MORNING):
    (found,) = status.rows(home, ["IBM"], now)
    return found


def state(home, now=MORNING):
    """In full, and as the table has it."""
    found = row(home, now)
    return found.state, found.cells()[5]


def test_a_row_says_how_old_its_forecast_is_by_the_limit_of_its_own_night(home):
    assert state(home)[0] == "no night yet"
    night = kept(home)
    assert (row(home).state, row(home).key_figures) == ("up to date", KeyFigures.of(night))
    assert state(home, MONDAY) == ("1 session behind", "1 behind")
    assert state(home, EXPIRED) == ("expired, 10 sessions behind", "expired")
    assert row(home, EXPIRED).cells()[1:5] == ("–",) * 4, "no number"
    patient = replace(night, settings={**night.settings, "ageing.old_forecast": 10})
    kept(home, patient)
    assert state(home, EXPIRED)[0] == "10 sessions behind"
    age = night_age(home.nights, patient, EXPIRED + timedelta(days=1))
    assert (age.sessions, age.expired) == (11, True)


def test_a_row_is_about_the_share_and_its_figures_about_the_model(home):
    night = kept(home, recorded_night(metrics={"answer/day_change_pct": -2.0}))
    assert row(home).cells()[3:5] == ("calm", "-2.0%")
    assert max(map(len, status.text([row(home)]).splitlines())) <= 80
    wild = replace(night.forecast.outlook[1], percentile=90.0)
    tomorrow = replace(
        night,
        session=date(2013, 3, 1),
        key="1" * 64,
        verdict=replace(night.verdict, promoted=True),
        forecast=replace(night.forecast, outlook=(wild,)),
    )
    for _ in range(2):  # the second time, another night of the session
        kept(home, tomorrow)
        assert row(home).cells()[3:5] == ("wild", "-2.0%, was calm, new model")


def test_a_failure_is_shown_until_a_night_completes(home):
    def after(**changes):
        status.record_run(home.nights, "IBM", replace(FAILED, **changes))  # type: ignore[arg-type]

    after()
    assert state(home) == ("failed: the key is wrong", "failed")
    kept(home)
    assert state(home) == ("up to date; failed: the key is wrong", "failed"), "a repetition"
    listed = status.rows(home, ["IBM"], MONDAY)
    told = "IBM: 1 session behind; failed: the key is wrong"
    assert told in status.text(listed).splitlines()
    assert f"- {told}" in status.markdown(listed).splitlines()
    after(state="At rest")
    assert state(home)[0] == "up to date", "a run that was skipped afterwards took nothing from it"
    assert state(home, EXPIRED)[1] == "at rest", "then, an old forecast is no news"
    for over in ({"state": "Completed"}, {"at": FAILED.at - timedelta(days=2)}):
        after(**over)
        assert state(home, MONDAY)[0] == "1 session behind"


def test_an_unreadable_file_is_its_tickers_state_and_costs_no_other_its_row(home):
    kept(home)
    (damaged := Ledger(home.ledger).file("KO")).parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    fine, broken = listed = status.rows(home, ["KO", "IBM"], MORNING)
    assert (fine.state, broken.cells()[:3]) == ("up to date", ("KO", "–", "–"))
    assert f"KO: {damaged}: expected a readable record" in status.text(listed)


def test_the_next_run_is_told_in_new_york():
    usual = status.TickerRow("IBM", None, "")
    soon = replace(usual, next_run=datetime(2013, 3, 5, 0, 45, tzinfo=UTC))
    shown = [each.cells()[-1] for each in (soon, replace(usual, paused=True), usual)]
    assert shown == ["Mon 19:45", "paused", "–"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_night_that_failed_once_it_had_published_lacks_figures_and_no_forecast(home, is_first):
    """The forecast is put into the ledger first; the night's record may then find no room on the
    disk."""
    if not is_first:
        kept(home)
    publish(home, LAST)
    at = datetime(2013, 3, 2, 4, tzinfo=UTC)
    status.record_run(home.nights, "IBM", status.LastRun("Failed", "the disk is full", at))
    morning = at + timedelta(hours=6)
    found = row(home, morning)
    assert (found.session, found.state) == (LAST, "up to date; failed: the disk is full")
    assert found.cells()[1:6] == (*["–"] * 4, "failed")
    assert status.missing(home, ["IBM"], morning, {}) == []


def test_only_gains_beyond_luck_are_counted_and_from_too_few_origins_no_figures_shown():
    usual, none = KeyFigures.of(recorded_night()), status.TickerRow("KO", None, "no night yet")
    listed = [
        replace(none, key_figures=replace(usual, network_helps=helps))
        for helps in (True, False, None)
    ]
    assert "1 of 3 shares" in status.share_sentence([*listed, none])
    for p_value, shown in ((0.01, ("+1.00%", "0.01")), (None, ("too few", "too few"))):
        figures = replace(usual, network_adds=0.01, network_adds_p=p_value)
        assert replace(none, key_figures=figures).details()[2:4] == shown


@pytest.mark.parametrize(
    ("sessions", "limits", "said"),
    [
        (5, {}, []),
        (6, {}, ["the forecast has expired, 6 sessions old (limit 5)"]),
        (6, {"old_forecast": 9, "old_champion": 6}, []),
        (
            *(6, {"old_forecast": 9, "old_champion": 5}),
            ["the champion is 6 sessions old (limit 5)"],
        ),
    ],
)
def test_a_forecast_or_champion_past_its_age_limit_is_named(home, sessions, limits, said):
    new_york = sessions_for("IBM")
    now = datetime.combine(new_york.after(LAST, sessions)[-1], MORNING.timetz()) + timedelta(days=1)

    def too_old():
        return status.too_old(home, "IBM", new_york, now, AgeingSettings(**limits))

    assert too_old() == [], "before the first"
    publish(home, LAST)
    line = "a" * 64, str(home.models / "IBM" / "a"), "b" * 64, None, LAST, "", MORNING
    Registry(home.models).promote(Promotion("IBM", "promote", *line))
    assert too_old() == said
    Ledger(home.ledger).file("IBM").write_bytes(b"damaged")
    assert too_old() == [], "the night says so"


def test_the_newest_session_stays_newest_and_a_home_without_its_key_figures_is_read_from_records(
    home,
):
    night = kept(home)
    later = night.finished_at + timedelta(days=9)
    kept(home, replace(night, session=date(2013, 2, 27), key="0" * 64, finished_at=later))
    logged_last = replace(night, key="1" * 64, finished_at=night.finished_at - timedelta(hours=1))
    kept(home, logged_last)
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
