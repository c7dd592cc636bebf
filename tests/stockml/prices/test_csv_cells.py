"""How a price file is read: every layout, date order and decimal mark; what is repaired, left out, refused."""

import os
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.prices.bars import checked, days_of
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_cells import Readings
from stockml.prices.csv_import import read_history
from tests.support import strategies

NEW_YORK = sessions_for("IBM")

SESSIONS = NEW_YORK.between(date(2026, 10, 1), date(2026, 10, 28))

ROWS = {date(2026, 11, 19): (10.0, 11.0, 9.0, 10.5, 1000.0), date(2026, 11, 20): (1234.5, 1300.0, 1200.0, 1250.0, 12e6)}

LAYOUTS = {
    "Kaggle": """Date,Open,High,Low,Close,Volume,OpenInt
2026-11-19,10,11,9,10.5,1000,0
2026-11-20,1234.5,1300,1200,1250,12000000,0
""",
    "Kaggle with stock_id, Windows line ends and a byte order mark": """\ufeffDate,Open,High,Low,Close,Volume,stock_id\r
2026-11-19,10,11,9,10.5,1000,5681\r
2026-11-20,1234.5,1300,1200,1250,12000000,5681\r
""",
    "Stooq, bulk": """<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
IBM.US,D,20261119,000000,10,11,9,10.5,1000,0
IBM.US,D,20261120,000000,1234.5,1300,1200,1250,12000000,0
""",
    "Stooq, single": """Date,Open,High,Low,Close,Volume
2026-11-19,10,11,9,10.5,1000
2026-11-20,1234.5,1300,1200,1250,12000000
""",
    "Yahoo, download": """Date,Open,High,Low,Close,Adj Close,Volume
2026-11-18,null,null,null,null,null,null
2026-11-19,10.000000,11.000000,9.000000,10.500000,10.500000,1000
2026-11-20,1234.500000,1300.000000,1200.000000,1250.000000,1250.000000,12000000
""",
    "Yahoo, page": """Date,Open,High,Low,Close*,Volume
"Nov 20, 2026","1,234.50","1,300.00","1,200.00","1,250.00","12,000,000"
"Nov 20, 2026",0.88 Dividend,,,,
"Nov 19, 2026",10.00,11.00,9.00,10.50,"1,000"
""",
    "Yahoo, as yfinance writes it": """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2026-11-19 00:00:00-05:00,10,11,9,10.5,1000,0.0,0.0
2026-11-20 00:00:00-05:00,1234.5,1300,1200,1250,12000000,0.88,0.0
""",
    "Alpha Vantage": """timestamp,open,high,low,close,volume
2026-11-20,1234.5000,1300.0000,1200.0000,1250.0000,12000000
2026-11-19,10.0000,11.0000,9.0000,10.5000,1000
""",
    "`stockml bars --csv`": """session,open,high,low,close,volume
2026-11-19,10.0,11.0,9.0,10.5,1000
2026-11-20,1234.5,1300.0,1200.0,1250.0,12000000
""",
    "Nasdaq": """Date,Close/Last,Volume,Open,High,Low
11/20/2026,$1250.00,12000000,$1234.50,$1300.00,$1200.00
11/19/2026,$10.50,1000,$10.00,$11.00,$9.00
""",
    "semicolons, capitals, another order, an empty line at the end": """VOLUME;CLOSE;DATE;LOW;HIGH;OPEN
12000000;1250;2026/11/20;1200;1300;1234.5
1000;10.5;2026/11/19;9;11;10

""",
    "Excel in German, decimal commas and days first": """sep=;\r
Datum;Erster;Hoch;Tief;Schlusskurs;Volumen\r
20.11.2026;1.234,50;1.300,00;1.200,00;1.250,00;12.000.000\r
19.11.2026;10,00;11,00;9,00;10,50;1.000\r
""",
    "Excel in French, numbers of days, spaces for thousands": """Date;Open;High;Low;Close;Volume
46345;10,0;11,0;9,0;10,5;1 000
46346;1\u00a0234,5;1\u00a0300,0;1\u00a0200,0;1\u00a0250,0;12\u202f000\u202f000
""",
    "quoted headers and cells, a byte order mark, days first": """\ufeff"Date","Open","High","Low","Close","Volume"
"19/11/2026","10","11","9","10.5","1000"
"20/11/2026","1,234.50","1,300.00","1,200.00","1,250.00","12,000,000"
""",
    "Stooq, Polish": """Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen
2026-11-19,10,11,9,10.5,1000
2026-11-20,1234.5,1300,1200,1250,12000000
""",
    "Yahoo, page of today": """Date\tOpen\tHigh\tLow\tClose Close price adjusted for splits.\tVolume
Nov 20, 2026\t1,234.50\t1,300.00\t1,200.00\t1,250.00\t12,000,000
Nov 19, 2026\t10.00\t11.00\t9.00\t10.50\t1,000
""",
    "yfinance of today": """Price,Close,High,Low,Open,Volume
Ticker,IBM,IBM,IBM,IBM,IBM
Date,,,,,
2026-11-19,10.5,11,9,10,1000
2026-11-20,1250,1300,1200,1234.5,12000000
""",
}


def written(folder: Path, text: str, name: str = "IBM.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_bars(tmp_path, layout):
    history = read_history(written(tmp_path, LAYOUTS[layout]), NEW_YORK)
    assert history.bars.equals(strategies.bars_of(ROWS))
    assert (history.notes.ticker, history.notes.repaired, history.notes.off_calendar) == ("IBM", 0, ())


def test_rows_without_prices_are_left_out_and_counted(tmp_path):
    assert read_history(written(tmp_path, LAYOUTS["Yahoo, download"]), NEW_YORK).notes.empty == 1
    assert read_history(written(tmp_path, LAYOUTS["Yahoo, page"]), NEW_YORK).notes.empty == 1


def test_adjusted_closes_scale_the_whole_bar(tmp_path):
    text = LAYOUTS["Yahoo, download"].replace("10.500000,10.500000", "10.500000,5.250000")
    bars = read_history(written(tmp_path, text), NEW_YORK).bars
    assert bars.iloc[0].tolist() == [5.0, 5.5, 4.5, 5.25, 1000.0]
    assert bars.iloc[1].tolist() == list(ROWS[date(2026, 11, 20)])


@pytest.mark.parametrize("volume", ["", ",Volume"])
def test_a_missing_volume_is_not_invented(tmp_path, volume):
    empty = "," if volume else ""
    bars = read_history(
        written(tmp_path, f"Date,Open,High,Low,Close{volume}\n2026-11-20,1,2,1,2{empty}\n"), NEW_YORK
    ).bars
    assert np.isnan(bars["volume"].iloc[0])


def test_a_file_without_a_known_volume_column_is_reported_with_its_columns(tmp_path):
    text = LAYOUTS["Stooq, single"]
    assert read_history(written(tmp_path, text), NEW_YORK).notes.no_volume_among == ()
    unknown = read_history(written(tmp_path, text.replace("Volume", "Omsättning")), NEW_YORK)
    assert unknown.notes.no_volume_among == ("Date", "Open", "High", "Low", "Close", "Omsättning")
    assert unknown.bars["volume"].isna().all()


def test_a_low_or_high_that_is_off_by_rounding_is_repaired_and_counted(tmp_path):
    text = "Date,Open,High,Low,Close\n2026-11-19,0.30627,0.30628,0.3063,0.30628\n2026-11-20,1.05,1.049,0.9,1\n"
    history = read_history(written(tmp_path, text), NEW_YORK)
    assert history.notes.repaired == 2
    assert history.bars["low"].tolist() == [0.30627, 0.9]
    assert history.bars["high"].tolist() == [0.30628, 1.05]


def test_an_odd_day_that_is_no_session_is_left_out_and_named(tmp_path):
    text = LAYOUTS["Stooq, single"] + "2026-11-21,10,11,9,10.5,1000\n"
    history = read_history(written(tmp_path, text), NEW_YORK)
    assert history.notes.off_calendar == (date(2026, 11, 21),)
    assert history.bars.equals(strategies.bars_of(ROWS))


def test_a_repeated_line_counts_once(tmp_path):
    text = LAYOUTS["Stooq, single"] + LAYOUTS["Stooq, single"].splitlines()[-1] + "\n"
    assert read_history(written(tmp_path, text), NEW_YORK).bars.equals(strategies.bars_of(ROWS))


def test_excels_unicode_text_and_its_old_code_page_are_read(tmp_path):
    path = tmp_path / "IBM.txt"
    for encoding in ("utf-16", "cp1252"):
        path.write_bytes(
            LAYOUTS["Excel in French, numbers of days, spaces for thousands"].replace("\u202f", " ").encode(encoding)
        )
        assert read_history(path, NEW_YORK).bars.equals(strategies.bars_of(ROWS))


HEADER = "Date,Open,High,Low,Close,Volume\n"
AMBIGUOUS_DATES = HEADER + "03/02/2026,1,1,1,1,1\n"
AMBIGUOUS_NUMBERS = "Date;Open;High;Low;Close\n2026-11-19;1,234;1,300;1,200;1,250\n"


@pytest.mark.parametrize(("dates", "first"), [("day-first", date(2026, 2, 3)), ("month-first", date(2026, 3, 2))])
def test_ambiguous_dates_are_refused_with_both_readings_and_read_as_the_switch_says(tmp_path, dates, first):
    path = written(tmp_path, AMBIGUOUS_DATES)
    with pytest.raises(InvalidFile, match=r"03/02/2026 may be 2026-02-03 \(day-first\) or 2026-03-02 \(month-first\)"):
        read_history(path, NEW_YORK)
    assert days_of(read_history(path, NEW_YORK, readings=Readings(dates=dates)).bars)[0] == np.datetime64(first)


def test_an_ambiguous_date_is_shown_as_it_stands_in_the_file(tmp_path):
    with pytest.raises(InvalidFile, match=r"line 2: 03\.02\.2026 may be 2026-02-03 \(day-first\)"):
        read_history(written(tmp_path, AMBIGUOUS_DATES.replace("/", ".")), NEW_YORK)


@pytest.mark.parametrize("layout", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"])
def test_the_calendar_and_the_order_of_rows_tell_day_and_month_apart(tmp_path, layout):
    days = NEW_YORK.between(date(2026, 2, 2), date(2026, 2, 12))[:8]  # no day above 12
    path = written(tmp_path, HEADER + "".join(f"{day.strftime(layout)},1,1,1,1,1\n" for day in days))
    assert days_of(read_history(path, NEW_YORK).bars).tolist() == list(days)


@pytest.mark.parametrize(("decimal", "close"), [("comma", 1.25), ("point", 1250.0)])
def test_an_ambiguous_comma_is_refused_with_both_readings_and_read_as_the_switch_says(tmp_path, decimal, close):
    path = written(tmp_path, AMBIGUOUS_NUMBERS)
    with pytest.raises(InvalidFile, match=r"1,234 may be 1234 \(point\) or 1.234 \(comma\); say which with --decimal"):
        read_history(path, NEW_YORK)
    assert read_history(path, NEW_YORK, readings=Readings(decimal=decimal)).bars["close"].iloc[0] == close


REFUSALS = {
    "an empty file": ("", "found an empty file"),
    "white space": ("\n\n", "found an empty file"),
    "a header alone": (HEADER, "found no row that has any"),
    "no prices": ("Date,Value\n2026-11-20,5\n", "no column open, high, low, close among Date, Value"),
    "two closes": ("Date,Open,High,Low,Close,CLOSE\n2026-11-20,1,1,1,1,1\n", "found Close, CLOSE, which are taken"),
    "a word for a number": (
        HEADER + "2026-11-19,1,1,1,1,1\n2026-11-20,1,1,one,1,1\n",
        "line 3: expected a number as low",
    ),
    "a word for a volume": (HEADER + "2026-11-20,1,1,1,1,many\n", "line 2: expected a number as volume, found 'many'"),
    "a price that is absent": (HEADER + "2026-11-20,1,1,,1,1\n", "2026-11-20: expected finite prices above 0, found"),
    "not a date": (HEADER + "yesterday,1,1,1,1,1\n", "line 2: expected a date like 2026-11-20, found 'yesterday'"),
    "no such first date": (HEADER + "2013-13-01,1,1,1,1,1\n", "line 2: expected a day of the calendar, found '2013-13"),
    "no such date": (HEADER + "2026-11-20,1,1,1,1,1\n2026-02-30,1,1,1,1,1\n", "line 3: expected a date"),
    "dates of two kinds": (HEADER + "2026-11-20,1,1,1,1,1\n11/19/2026,1,1,1,1,1\n", "line 3: expected a date"),
    "a high below the close": (HEADER + "2026-11-20,1,1.5,1,2,1\n", "session 2026-11-20: expected low ≤ open"),
    "a price of zero": (HEADER + "2026-11-20,1,1,0,1,1\n", "session 2026-11-20: expected finite prices above 0"),
    "a negative volume": (HEADER + "2026-11-20,1,1,1,1,-1\n", "session 2026-11-20: expected volume of at least 0"),
    "an infinite price": (HEADER + "2026-11-20,1,inf,1,1,1\n", "session 2026-11-20: expected finite prices above 0"),
    "two bars of one day": (
        HEADER + "2026-11-20,1,1,1,1,1\n2026-11-20,2,2,2,2,1\n",
        "two different ones of 2026-11-20",
    ),
    "two bars of one day, one without a volume": (
        HEADER + "2026-11-20,1,1,1,1,\n2026-11-20,1,1,1,1,5\n",
        "two different ones of 2026-11-20",
    ),
    "weekends only": (HEADER + "2026-11-21,1,1,1,1,1\n2026-11-22,1,1,1,1,1\n", "is it another exchange"),
    "more cells than columns": (
        HEADER + "2026-11-20,1,1,1,1,1,1,1\n",
        "line 2: expected 6 cells as in the header, found 8",
    ),
    "a decimal comma and a decimal point": (
        "Date;Open;High;Low;Close\n2026-11-19;1,5;2;1;1,5\n2026-11-20;1.5;2;1;1.5\n",
        "a decimal comma in line 2 and a decimal point in line 3",
    ),
    "a step of a hundredfold": (
        HEADER
        + "".join(f"{day},{p},{p},{p},{p},1\n" for day, p in zip(SESSIONS, [1.5] * 10 + [150] * 10, strict=True)),
        f"expected prices of one scale, found 150 on {SESSIONS[10]}, 100 times the 1.5 of {SESSIONS[9]}",
    ),
    "a last line that is cut off": (
        LAYOUTS["Kaggle"][:-15],
        "line 3: expected 7 cells as in the line before, found 5 and no line end; see that the file is whole",
    ),
    "a line of commas": (f"Date,Open\n{',' * 200_000}\n", "found a line of 200,000 characters"),
    "a workbook": ("PK\x03\x04xl", "found a workbook; save it as CSV"),
    "a page": ("<!DOCTYPE html>\n<html></html>\n", "found no columns in its first line, '<!DOCTYPE html>'"),
    "a text": ("# stockml\n\nprices, and more\n", "found no columns in its first line"),
    "bytes": ("\x00\x01\x02\x03", "found no columns in its first line"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_faulty_file_is_refused_with_its_path_and_the_fault(tmp_path, case):
    text, why = REFUSALS[case]
    path = written(tmp_path, text)
    with pytest.raises(InvalidFile) as refusal:
        read_history(path, NEW_YORK)
    assert why in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InvalidFile, match="No such file"):
        read_history(tmp_path / "IBM.csv", NEW_YORK)
    with pytest.raises(InvalidFile, match="found a folder"):
        read_history(tmp_path, NEW_YORK, "IBM")


def test_a_pipe_is_refused_by_name_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "IBM.csv")
    with pytest.raises(InvalidFile, match=r"IBM\.csv: expected a file"):
        read_history(tmp_path / "IBM.csv", NEW_YORK)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(sorted(LAYOUTS)), at=st.integers(0, 200), gone=st.integers(0, 20), put=st.binary(max_size=6)
)
@example(layout="Stooq, bulk", at=85, gone=13, put=b"")  # 20261120 below 20210, a day as Excel counts
@example(layout="Yahoo, download", at=195, gone=3, put=b"")  # a close of 0 beside an adjusted one of 1,250
def test_a_damaged_file_is_read_as_valid_bars_or_raises_a_typed_error(tmp_path, layout, at, gone, put):
    content = LAYOUTS[layout].encode()
    path = tmp_path / "IBM.csv"
    path.write_bytes(content[:at] + put + content[at + gone :])
    with suppress(InvalidFile):
        history = read_history(path, NEW_YORK)
        assert checked("IBM", history.bars, NEW_YORK).equals(history.bars)
