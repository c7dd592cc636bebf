"""The quota on disk: never more than the plan allows, whoever asks, whatever is killed, however the
clock is set."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
from tests.support.patience import PATIENCE_S

KEY = "CANARY0SECRET0KEY"
NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)  # 19:30 in New York, on the 20th
FAST = Plan(requests_per_minute=1_200, requests_per_day=None)


@pytest.fixture
def ledger(tmp_path: Path) -> QuotaLedger:
    return QuotaLedger.of(FileNotes(tmp_path), KEY)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        (" Free ", FREE),
        ("75/min", Plan(75, None)),
        ("1200 / minute", FAST),
    ],
)
def test_a_plan_may_be_written_as_people_write_it(text: str, plan: Plan) -> None:
    assert Plan.of({"ALPHAVANTAGE_PLAN": text}) == plan


@pytest.mark.parametrize("text", ["premium", "0/min", "1201/min", "75/hour"])
def test_an_unknown_plan_says_what_is_expected(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"free.*75/min|between 1 and 1200"):
        Plan.of({"ALPHAVANTAGE_PLAN": text})


def test_an_unused_day_has_its_full_quota_and_no_file(ledger: QuotaLedger) -> None:
    assert ledger.remaining(NOW) == 25
    assert ledger.next_slot(NOW) == NOW
    assert list(ledger.notes.folder.iterdir()) == []


def test_a_premium_plan_has_no_cap_unless_the_provider_says_so(tmp_path: Path) -> None:
    ledger = QuotaLedger.of(FileNotes(tmp_path), KEY, FAST)
    for _ in range(30):
        ledger.spend("IBM", NOW)
    assert ledger.remaining(NOW) is None
    ledger.mark_spent("25 requests per day", NOW)
    assert ledger.remaining(NOW) == 0


def test_a_quota_that_the_provider_calls_spent_is_spent_for_that_day_only(
    ledger: QuotaLedger,
) -> None:
    ledger.spend("IBM", NOW)
    ledger.mark_spent("25 requests per day", NOW)
    with pytest.raises(QuotaSpent, match=r"MSFT.*25 requests per day"):
        ledger.spend("MSFT", NOW)
    assert ledger.remaining(NOW + timedelta(days=1)) == 25


def test_an_evening_in_new_york_falls_on_one_quota_day_all_year() -> None:
    zone = ZoneInfo("America/New_York")
    for evening in (datetime(2026, 1, 5), datetime(2026, 3, 8), datetime(2026, 7, 6)):
        hours = (evening.replace(hour=hour, minute=59, tzinfo=zone) for hour in range(18, 24))
        assert {quota_day(hour.astimezone(UTC)) for hour in hours} == {evening.date()}


def test_each_key_has_its_own_ledger_and_is_never_written(tmp_path: Path) -> None:
    mine, other = (QuotaLedger.of(FileNotes(tmp_path), key) for key in (KEY, "OTHER"))
    mine.spend("IBM", NOW)
    mine.mark_spent("spent", NOW)
    assert other.remaining(NOW) == 25
    assert all(KEY not in f"{path}{path.read_text()}" for path in tmp_path.iterdir())
    assert KEY not in repr(mine)


@given(
    per_minute=st.integers(1, 1_200),
    pauses=st.lists(st.floats(0, 100_000), min_size=1, max_size=12),
)
def test_slots_keep_the_plans_rate_and_are_never_in_the_past(
    tmp_path_factory: pytest.TempPathFactory, per_minute: int, pauses: list[float]
) -> None:
    ledger = QuotaLedger.of(
        FileNotes(tmp_path_factory.mktemp("quota")), KEY, Plan(per_minute, None)
    )
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
    tmp_path_factory: pytest.TempPathFactory, jumps: list[float]
) -> None:
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


def test_a_clock_set_back_by_a_day_gives_nothing_back(ledger: QuotaLedger) -> None:
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
def test_an_unreadable_file_is_named_and_never_taken_for_an_unused_day(
    ledger: QuotaLedger, content: str
) -> None:
    ledger.spend("IBM", NOW)
    path = Path(ledger.notes.place(ledger.name(date(2026, 11, 20))))
    path.write_text(content, encoding="latin-1")
    for ask in (ledger.remaining, ledger.next_slot, lambda now: ledger.spend("IBM", now)):
        with pytest.raises(StoreError, match="delete it") as caught:
            ask(NOW)
        assert str(path) in str(caught.value)
    assert path.read_text(encoding="latin-1") == content


def test_threads_of_one_process_share_the_quota(ledger: QuotaLedger) -> None:
    def slot(_: int) -> datetime | None:
        try:
            return ledger.spend("IBM", NOW)
        except QuotaSpent:
            return None

    with ThreadPoolExecutor(4) as asking:
        slots = [given for given in asking.map(slot, range(40)) if given]
    assert len(slots) == len(set(slots)) == 25


ASKING = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from stockml.errors import QuotaSpent
from stockml.provider.quota import Plan, QuotaLedger
from stockml.storage.locks import FileNotes
ledger = QuotaLedger.of(FileNotes(Path(sys.argv[1])), "KEY-OF-TWO", Plan(1200, int(sys.argv[2])))
for _ in range(int(sys.argv[3])):
    try:
        print(ledger.spend("IBM", datetime.now(UTC)).isoformat(), flush=True)
    except QuotaSpent:
        print("spent", flush=True)
"""


def asking(folder: Path, cap: int, times: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", ASKING, str(folder), str(cap), str(times)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_share_one_quota_and_one_rate(tmp_path: Path) -> None:
    outputs = [
        process.communicate(timeout=PATIENCE_S)[0].split()
        for process in [asking(tmp_path, 40, 30) for _ in range(2)]
    ]
    slots = sorted(
        datetime.fromisoformat(line) for output in outputs for line in output if line != "spent"
    )
    assert [len(output) for output in outputs] == [30, 30]
    assert len(slots) == 40
    assert all(
        later - earlier >= timedelta(seconds=60 / 1_200) for earlier, later in pairwise(slots)
    )


@pytest.mark.slow
def test_a_killed_process_leaves_a_readable_count_that_misses_no_request(tmp_path: Path) -> None:
    ledger = QuotaLedger.of(FileNotes(tmp_path), "KEY-OF-TWO", Plan(1_200, 1_000_000))
    seen = 0
    for lines in (1, 5, 14):
        process = asking(tmp_path, 1_000_000, 1_000_000)
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        seen += lines + len(process.communicate(timeout=PATIENCE_S)[0].split())
    days = {quota_day(datetime.now(UTC)), quota_day(datetime.now(UTC) - timedelta(minutes=5))}
    notes = [note for day in days if (note := ledger.notes.read(ledger.name(day)))]
    counted = sum(json.loads(note)["requests"] for note in notes)
    assert seen <= counted <= seen + 3
    ledger.spend("IBM", datetime.now(UTC))
