"""The quota on disk: never more than the plan allows, whoever asks, whatever is killed, however the
clock is set."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidSetting, QuotaSpent, StoreError
from stockml.provider.quota import FREE, Plan, QuotaLedger, quota_day
from stockml.storage.locks import FileNotes

KEY = "CANARY0SECRET0KEY"
NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)  # 19:30 in New York, on the 20th
FAST = Plan(requests_per_minute=1_200, requests_per_day=None)


@pytest.fixture
def ledger(tmp_path):
    return QuotaLedger.of(FileNotes(tmp_path), KEY)


@pytest.mark.parametrize(
    ("text", "plan"), [(" Free ", FREE), ("75/min", Plan(75, None)), ("1200 / minute", FAST)]
)
def test_a_plan_may_be_written_as_people_write_it(text, plan):
    assert Plan.of({"ALPHAVANTAGE_PLAN": text}) == plan


@pytest.mark.parametrize("text", ["premium", "0/min", "1201/min", "75/hour"])
def test_an_unknown_plan_says_what_is_expected(text):
    with pytest.raises(InvalidSetting, match=r"free.*75/min|between 1 and 1200"):
        Plan.of({"ALPHAVANTAGE_PLAN": text})


def test_a_quota_that_the_provider_calls_spent_is_spent_for_that_key_and_day_only(ledger):
    assert (ledger.remaining(NOW), ledger.next_slot(NOW)) == (25, NOW)
    assert not any(ledger.notes.folder.iterdir())
    ledger.spend("IBM", NOW)
    assert ledger.remaining(NOW) == 24
    ledger.mark_spent("25 requests per day", NOW)
    with pytest.raises(QuotaSpent, match=r"MSFT.*25 requests per day"):
        ledger.spend("MSFT", NOW)
    assert ledger.remaining(NOW + timedelta(days=1)) == 25
    assert QuotaLedger.of(ledger.notes, "OTHER").remaining(NOW) == 25


def test_a_premium_plan_has_no_cap_unless_the_provider_says_so(tmp_path):
    ledger = QuotaLedger.of(FileNotes(tmp_path), KEY, FAST)
    ledger.spend("IBM", NOW)
    assert ledger.remaining(NOW) is None
    ledger.mark_spent("25 requests per day", NOW)
    assert ledger.remaining(NOW) == 0


def test_an_evening_in_new_york_falls_on_one_quota_day_all_year():
    zone = ZoneInfo("America/New_York")
    for month, day in ((1, 5), (3, 8), (7, 6)):
        evening = datetime(2026, month, day, 18, 59, tzinfo=zone)
        hours = (evening + timedelta(hours=hour) for hour in range(6))
        assert {quota_day(hour.astimezone(UTC)) for hour in hours} == {evening.date()}


@given(
    per_minute=st.integers(1, 1_200),
    pauses=st.lists(st.floats(0, 100_000), min_size=1, max_size=12),
)
def test_slots_keep_the_plans_rate_and_are_never_in_the_past(tmp_path_factory, per_minute, pauses):
    notes = FileNotes(tmp_path_factory.mktemp("quota"))
    ledger = QuotaLedger.of(notes, KEY, Plan(per_minute, None))
    now, slots = NOW, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        expected = ledger.next_slot(now)
        slots.append(ledger.spend("IBM", now))
        assert slots[-1] == expected >= now
    assert all(
        later - earlier >= timedelta(seconds=60 / per_minute) for earlier, later in pairwise(slots)
    )
    assert slots[0] == NOW + timedelta(seconds=pauses[0])


@pytest.mark.slow
@given(jumps=st.lists(st.floats(-200_000, 200_000), min_size=1, max_size=20))
def test_however_the_clock_jumps_no_day_exceeds_its_requests_and_no_wait_is_long(
    tmp_path_factory, jumps
):
    ledger = QuotaLedger.of(FileNotes(tmp_path_factory.mktemp("quota")), KEY, Plan(60, 3))
    now, sent = NOW, dict[date, int]()
    for jump in jumps:
        now += timedelta(seconds=jump)
        day = quota_day(now)
        # the clock was set back: requests count on the later day
        while day + timedelta(days=1) in sent:
            day += timedelta(days=1)
        assert ledger.remaining(now) == 3 - sent.get(day, 0)
        if ledger.remaining(now):
            assert ledger.spend("IBM", now) - now < timedelta(seconds=70)
            sent[day] = sent.get(day, 0) + 1
        else:
            with pytest.raises(QuotaSpent, match="3 of 3 on"):
                ledger.spend("IBM", now)


def test_a_clock_set_back_by_a_day_gives_nothing_back(ledger):
    """Neither requests nor the time between them; once it is right again, what was asked meanwhile
    is counted."""
    before = NOW - timedelta(days=1)
    for moment, times in ((before + timedelta(hours=2), 25), (NOW, 20), (before, 3)):
        for _ in range(times):
            slot = ledger.spend("IBM", moment)
    assert slot - before >= 2 * ledger.plan.interval
    assert ledger.remaining(NOW + timedelta(hours=1)) == ledger.remaining(before) == 2
    ledger.mark_spent("25 requests per day", before)
    with pytest.raises(QuotaSpent, match="25 requests per day"):
        ledger.spend("MSFT", NOW)
    assert ledger.remaining(NOW + timedelta(days=1)) == 25


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"requests": -1}', "\x00\xff"])
def test_an_unreadable_file_is_named_and_never_taken_for_an_unused_day(ledger, content):
    ledger.spend("IBM", NOW)
    path = Path(ledger.notes.place(ledger.name(date(2026, 11, 20))))
    path.write_text(content, encoding="latin-1")
    for ask in (ledger.remaining, ledger.next_slot, lambda now: ledger.spend("IBM", now)):
        with pytest.raises(StoreError, match="delete it") as caught:
            ask(NOW)
        assert str(path) in str(caught.value)
    assert path.read_text(encoding="latin-1") == content


def test_threads_share_the_quota(ledger):
    def slot(_):
        with suppress(QuotaSpent):
            return ledger.spend("IBM", NOW)
        return None

    with ThreadPoolExecutor(4) as asking:
        slots = [given for given in asking.map(slot, range(40)) if given]
    assert len(slots) == len(set(slots)) == 25


ASKING = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from stockml.provider.quota import Plan, QuotaLedger
from stockml.storage.locks import FileNotes
ledger = QuotaLedger.of(FileNotes(Path(sys.argv[1])), sys.argv[2], Plan(1200, 1_000_000))
while True:
    print(ledger.spend("IBM", datetime.now(UTC)).isoformat(), flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_readable_count_that_misses_no_request(tmp_path):
    ledger = QuotaLedger.of(FileNotes(tmp_path), KEY, Plan(1_200, 1_000_000))
    seen = 0
    for lines in (1, 5, 14):
        command = [sys.executable, "-c", ASKING, str(tmp_path), KEY]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
            for _ in range(lines):
                asking.stdout.readline()
            asking.kill()
            seen += lines + len(asking.stdout.read().split())
    now = datetime.now(UTC)
    days = {quota_day(now), quota_day(now - timedelta(minutes=5))}
    notes = [note for day in days if (note := ledger.notes.read(ledger.name(day)))]
    counted = sum(json.loads(note)["requests"] for note in notes)
    assert seen <= counted <= seen + 3
    ledger.spend("IBM", now)
