"""What was published stays, once per key, in a plain file; a damaged file is named and never
overwritten."""

from dataclasses import replace
from datetime import date
from shutil import copytree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from stockml.errors import InvalidForecast, InvalidTicker, NoForecast, RecordUnreadable, StoreBusy
from stockml.forecasts.ledger_scores import scored_steps
from stockml.prices.calendar import sessions_for
from tests.support.forecasts import HORIZON, day, entry, forecast, series
from tests.support.old_homes import BEFORE_ROOMS

NEW_YORK = sessions_for("IBM")
BANDS = forecast(10).bands


def test_an_empty_ledger_has_no_entries_and_no_scores(ledger):
    assert ledger.entries("IBM") == ()
    assert len(scored_steps(ledger.counting("IBM", NEW_YORK), series())) == 0
    live = ledger.record("IBM", series(), NEW_YORK)["live"]
    assert (live.forecasts, live.skill, live.coverage_80) == (0, None, None)
    assert set(live.metrics().values()) == {0.0}


def test_what_was_published_of_a_valid_ticker_reads_back_as_written(ledger):
    published = replace(entry(11), run_id=None, model_version=None), entry(12, hours_later=2.5)
    for each in (*published, replace(entry(10), ticker="BRK-B")):
        assert ledger.publish(each).is_reusable()
    assert ledger.entries("IBM") == published
    with pytest.raises(InvalidTicker):
        ledger.publish(replace(entry(10), ticker="../IBM"))


def test_the_newest_is_of_the_newest_session_then_the_last_published_then_the_last_written(ledger):
    with pytest.raises(NoForecast, match=f"in {ledger.folder.parent}, found none"):
        ledger.newest("IBM")
    for published, newest in (
        (entry(11, "a", hours_later=2), "a"),
        (entry(11, "b", hours_later=1), "a"),
        (entry(11, "c", hours_later=2), "c"),  # at the same moment, as in a replay
        (entry(10, "d", hours_later=99), "c"),
    ):
        ledger.publish(published)
        assert list(ledger.newest("IBM")["key"]) == [newest] * HORIZON


def test_the_same_key_adds_nothing_and_changes_no_byte(ledger):
    first = ledger.publish(entry(10))
    before = ledger.file("IBM").read_bytes()
    assert ledger.publish(entry(10, slope=0.9, hours_later=99.0)) == first
    assert ledger.file("IBM").read_bytes() == before


def test_a_file_of_mid_prices_of_an_earlier_version_is_read_and_added_to(ledger):
    before = BEFORE_ROOMS / "ledger"
    copytree(before, ledger.folder)
    earlier = ledger.entries("IBM")
    assert {each.forecast.price for each in earlier} == {"mid"}
    ledger.publish(entry(10))
    assert ledger.entries("IBM") == (*earlier, entry(10))
    columns = [*pq.read_schema(before / "IBM.parquet").names, "price"]
    assert pq.read_schema(ledger.file("IBM")).names == columns


def for_all_leads(value):
    return (value,) * HORIZON


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("not finite", {"path": for_all_leads(np.inf)}),
        ("not finite", {"last_value": np.inf}),
        ("above 0", {"path": for_all_leads(0.0)}),
        ("above 0", {"last_value": 0.0}),
        ("above 0", {"bands": (*BANDS[:2], replace(BANDS[2], low=for_all_leads(0.0)))}),
        ("different lengths", {"bands": (*BANDS[:2], replace(BANDS[2], low=(1.0,)))}),
        ("different lengths", {"weights": (0.5,)}),
        ("weights", {"weights": for_all_leads(1.2)}),
        ("weights", {"weights": for_all_leads(-0.2)}),
        ("chance", {"probability_of_rise": np.nan}),
        ("chance", {"probability_of_rise": 1.2}),
        ("bands", {"bands": BANDS[:2]}),
        ("ascend", {"sessions": (day(11), *forecast(10).sessions[:-1])}),
        ("ascend", {"origin": date(2030, 1, 1)}),
    ],
)
def test_an_invalid_forecast_is_refused_and_nothing_is_written(ledger, said, change):
    with pytest.raises(InvalidForecast, match=said):
        ledger.publish(replace(entry(10), forecast=replace(forecast(10), **change)))
    assert not ledger.file("IBM").exists()


def test_a_damaged_ledger_is_an_error_that_names_the_file_and_is_never_overwritten(ledger):
    ledger.publish(entry(10))
    path = ledger.file("IBM")
    pd.DataFrame({"a": [1]}).to_parquet(other := path.with_name("other"))
    for damaged in (path.read_bytes()[:-99], b"", other.read_bytes()):
        path.write_bytes(damaged)
        for attempt in (
            lambda: ledger.publish(entry(11)),
            lambda: ledger.record("IBM", series(), NEW_YORK),
        ):
            with pytest.raises(RecordUnreadable, match=r"IBM\.parquet"):
                attempt()
        assert path.read_bytes() == damaged


def test_rows_written_by_hand_are_those_of_forecasts_or_refused(ledger):
    for number in (10, 11):
        ledger.publish(entry(number))
    published, path = ledger.entries("IBM"), ledger.file("IBM")
    table = pq.read_table(path).replace_schema_metadata({"written": "by hand"})
    pq.write_table(table, path)
    assert ledger.entries("IBM") == published
    refused = [pa.concat_tables([table, table])]
    for column, value in (("path", np.nan), ("low_80", None), ("lead", 7), ("key", None)):
        values, at = table[column].to_pylist(), table.schema.get_field_index(column)
        values[3] = value
        field = table.schema.field(at)
        refused.append(table.set_column(at, field, pa.array(values, field.type)))
    for each in refused:
        pq.write_table(each, path)
        for attempt in (ledger.entries, lambda ticker: ledger.publish(entry(12))):
            with pytest.raises(RecordUnreadable, match="rows of no forecast"):
                attempt("IBM")


def test_a_ledger_locked_by_another_process_is_busy(ledger):
    ledger.publish(entry(10))
    with FileLock(ledger.file("IBM").with_name(".IBM.parquet.lock")), pytest.raises(StoreBusy):
        replace(ledger, lock_timeout_s=0.05).publish(entry(11))
