"""How a price file is read: known layouts, what a person says of others; what is refused."""

from contextlib import suppress
from datetime import date

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.prices.bars import checked
from stockml.prices.csv_import import Readings, read_history
from tests.support import strategies
from tests.support.strategies import NEW_YORK

ROWS = {
    date(2026, 11, 19): (10.0, 11.0, 9.0, 10.5, 1000.0),
    date(2026, 11, 20): (1234.5, 1300.0, 1200.0, 1250.0, 12e6),
}
HEADER = "Date,Open,High,Low,Close,Volume\n"

LAYOUTS = {
    "Kaggle, with Windows line ends and a byte order mark": """\ufeffDate,Open,High,Low,Close,Volume,stock_id\r
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
    "Yahoo, a ticker's history by yfinance": """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2026-11-19 00:00:00-05:00,10,11,9,10.5,1000,0.0,0.0
2026-11-20 00:00:00-05:00,1234.5,1300,1200,1250,12000000,0.88,0.0
""",
    "Yahoo, a download by yfinance": """Price,Close,High,Low,Open,Volume
Ticker,IBM,IBM,IBM,IBM,IBM
Date,,,,,
2026-11-19,10.5,11,9,10,1000
2026-11-20,1250,1300,1200,1234.5,12000000
""",
    "Alpha Vantage": """timestamp,open,high,low,close,volume
2026-11-20,1234.5000,1300.0000,1200.0000,1250.0000,12000000
2026-11-19,10.0000,11.0000,9.0000,10.5000,1000
""",
    "Tiingo": """date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor
2026-11-19T00:00:00.000Z,10.5,11,9,10,1000,10.5,11,9,10,1000,0.0,1.0
2026-11-20T00:00:00.000Z,1250,1300,1200,1234.5,12000000,1250,1300,1200,1234.5,12000000,0.0,1.0
""",
    "semicolons, capitals, another order, empty lines": """VOLUME;CLOSE;SESSION;LOW;HIGH;OPEN

12000000;1250;2026/11/20;1200;1300;1234.5
1000;10.5;2026/11/19;9;11;10

""",
}

SAID = {
    "Excel in German": (
        """Datum;Erster;Hoch;Tief;Schlusskurs;Volumen\r
20.11.2026;1.234,50;1.300,00;1.200,00;1.250,00;12.000.000\r
19.11.2026;10,00;11,00;9,00;10,50;1.000\r
""",
        Readings(
            "%d.%m.%Y",
            "comma",
            {"date": "Datum", "open": "Erster", "high": "Hoch", "low": "Tief"}
            | {"close": "Schlusskurs", "volume": "Volumen"},
        ),
    ),
    "Nasdaq, in quotes, days first": (
        """"Date","Close/Last","Volume","Open","High","Low"
"20/11/2026","1,250.00","12,000,000","1,234.50","1,300.00","1,200.00"
"19/11/2026","10.50","1000","10.00","11.00","9.00"
""",
        Readings("%d/%m/%Y", "point", {"close": "Close/Last"}),
    ),
    "TradingView": (
        """time,open,high,low,close,Volume
2026-11-19T14:30:00Z,10.00,11.00,9.00,10.50,1000
2026-11-20T14:30:00Z,1234.50,1300.00,1200.00,1250.00,12000000
""",
        Readings("%Y-%m-%dT%H:%M:%SZ", columns={"date": "time"}),
    ),
}


def written(folder, text, name="IBM.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_known_layout_gives_the_same_bars(tmp_path, layout):
    history = read_history(written(tmp_path, LAYOUTS[layout]), NEW_YORK)
    assert history.bars.equals(strategies.bars_of(ROWS))
    notes = history.notes
    assert (notes.ticker, notes.repaired, notes.off_calendar) == ("IBM", 0, ())
    assert notes.empty == (layout == "Yahoo, download")


@pytest.mark.parametrize("layout", SAID)
def test_any_other_layout_is_refused_until_a_person_says_how_to_read_it(tmp_path, layout):
    text, readings = SAID[layout]
    path = written(tmp_path, text)
    with pytest.raises(InvalidFile, match=r"--columns|--date-format|--decimal"):
        read_history(path, NEW_YORK)
    assert read_history(path, NEW_YORK, readings=readings).bars.equals(strategies.bars_of(ROWS))


def test_adjusted_closes_scale_the_whole_bar(tmp_path):
    text = LAYOUTS["Yahoo, download"].replace("10.500000,10.500000", "10.500000,5.250000")
    bars = read_history(written(tmp_path, text), NEW_YORK).bars
    assert bars.iloc[0].tolist() == [5.0, 5.5, 4.5, 5.25, 1000.0]
    assert bars.iloc[1].tolist() == list(ROWS[date(2026, 11, 20)])


def test_a_missing_volume_is_not_invented_and_the_files_columns_are_reported(tmp_path):
    text = LAYOUTS["Stooq, single"]
    empty = read_history(written(tmp_path, text.replace(",1000\n", ",\n")), NEW_YORK)
    assert empty.bars["volume"].isna().tolist() == [True, False]
    assert empty.notes.no_volume_among == ()
    unknown = read_history(written(tmp_path, text.replace("Volume", "Omsättning")), NEW_YORK)
    assert unknown.bars["volume"].isna().all()
    assert unknown.notes.no_volume_among == ("Date", "Open", "High", "Low", "Close", "Omsättning")


def test_a_low_or_high_that_is_off_by_rounding_is_repaired_and_counted(tmp_path):
    rows = "2026-11-19,0.30627,0.30628,0.3063,0.30628\n2026-11-20,1.05,1.049,0.9,1\n"
    history = read_history(written(tmp_path, "Date,Open,High,Low,Close\n" + rows), NEW_YORK)
    assert history.notes.repaired == 2
    assert history.bars["low"].tolist() == [0.30627, 0.9]
    assert history.bars["high"].tolist() == [0.30628, 1.05]


AMBIGUOUS = {
    # case: the file, the refusal, and what its bar is once a person says how to read it
    "a day and a month": (
        f"{HEADER}03/02/2026,1,1,1,1,1\n",
        r"line 2: '03/02/2026' may be 2026-02-03 \(--date-format %d/%m/%Y\) or 2026-03-02 \(",
        {("2026-02-03", 1.0): Readings("%d/%m/%Y"), ("2026-03-02", 1.0): Readings("%m/%d/%Y")},
    ),
    "a month by name": (
        f'{HEADER}"Nov 20, 2026",1,1,1,1,1\n',
        r"\(--date-format '%b %d, %Y'\)",
        {("2026-11-20", 1.0): Readings("%b %d, %Y")},
    ),
    "a comma": (
        "Date;Open;High;Low;Close\n2026-11-19;1,234;1,300;1,200;1,250\n",
        r"line 2: 1,234 may be 1234 \(--decimal point\) or 1.234 \(--decimal comma\); say which",
        {
            ("2026-11-19", 1.25): Readings(decimal="comma"),
            ("2026-11-19", 1250.0): Readings(decimal="point"),
        },
    ),
    "points between semicolons": (
        "Date;Open;High;Low;Close\n2026-11-19;2.009;2.017;2.001;2.010\n",
        r"line 2: 2.009 may be 2.009 \(--decimal point\) or 2009 \(--decimal comma\)",
        {("2026-11-19", 2.01): Readings(decimal="point")},
    ),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_is_ambiguous_is_refused_with_its_readings_and_then_read_as_the_person_says(
    tmp_path, case
):
    text, why, expected = AMBIGUOUS[case]
    path = written(tmp_path, text)
    with pytest.raises(InvalidFile, match=why):
        read_history(path, NEW_YORK)
    for (day, close), readings in expected.items():
        bars = read_history(path, NEW_YORK, readings=readings).bars
        assert bars["close"].to_dict() == {pd.Timestamp(day): close}


ONE = "2026-11-20,1,1,1,1,1\n"
REFUSALS = {
    "an empty file": ("", "found an empty file"),
    "a header alone": (HEADER, "found no row that has any"),
    "no prices": (
        "Date,Value\n2026-11-20,5\n",
        "no column open, high, low, close among Date, Value",
    ),
    "two closes": (f"Date,Open,High,Low,Close,CLOSE\n{ONE}", "--columns close=HEADING"),
    "a word for a number": (
        f"{HEADER}{ONE}\n2026-11-20,1,1,$1,1,1\n",
        "line 4: expected a number as low",
    ),
    "a price that is absent": (
        f"{HEADER}2026-11-20,1,1,,1,1\n",
        "2026-11-20: expected finite prices above 0",
    ),
    "no such date": (f"{HEADER}{ONE}2026-02-30,1,1,1,1,1\n", "line 3: expected a date like"),
    "dates of two kinds": (f"{HEADER}{ONE}11/19/2026,1,1,1,1,1\n", "line 3: '11/19/2026' may be"),
    "two bars of one day": (
        f"{HEADER}{ONE}2026-11-20,2,2,2,2,1\n",
        "two different ones of 2026-11-20",
    ),
    "weekends": (f"{HEADER}2026-11-21,1,1,1,1,1\n2026-11-22,1,1,1,1,1\n", "another exchange"),
    "decimal commas without quotes": (f"{HEADER}2026-11-19,10,0,11,0,9,0,10,5,1\n", "need quotes"),
    "commas and points": (
        "Date;Open;High;Low;Close\n2026-11-19;1,5;2;1;1.5\n",
        "1,5 may be 1.5 (--decimal comma)",
    ),
    "two shares": (f"Symbol,{HEADER}IBM,{ONE}FB,{ONE}", "one share, found FB, IBM"),
    "a quote that is not closed": (f'{HEADER}2026-11-19,1,1,1,1,"1\n{ONE}', "EOF inside string"),
    "no text": ("\x00\x01\x02\x03", "no column date"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_faulty_file_is_refused_with_its_path_and_the_fault(tmp_path, case):
    text, why = REFUSALS[case]
    path = written(tmp_path, text)
    with pytest.raises(InvalidFile) as refusal:
        read_history(path, NEW_YORK)
    assert why in str(refusal.value)
    assert str(path) in str(refusal.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    at=st.integers(0, 200),
    gone=st.integers(0, 20),
    put=st.binary(max_size=6),
)
@example(layout="Stooq, bulk", at=85, gone=13, put=b"")
# a close of 0 beside an adjusted one of 1,250
@example(layout="Yahoo, download", at=195, gone=3, put=b"")
def test_a_damaged_file_is_read_as_valid_bars_or_raises_a_typed_error(
    tmp_path, layout, at, gone, put
):
    content = LAYOUTS[layout].encode()
    path = tmp_path / "IBM.csv"
    path.write_bytes(content[:at] + put + content[at + gone :])
    with suppress(InvalidFile):
        history = read_history(path, NEW_YORK)
        assert checked("IBM", history.bars, NEW_YORK).equals(history.bars)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, 10**9), mark=st.sampled_from(["point", "comma"]), grouped=st.booleans()
)
def test_a_price_is_the_nearest_float_however_it_is_written(tmp_path, number, mark, grouped):
    text = f"{number / 100:,.2f}" if grouped else f"{number / 100:.2f}"
    expected = float(text.replace(",", ""))
    if mark == "comma":
        text = text.translate(str.maketrans(",.", ".,"))
    path = written(tmp_path, f"Date;Open;High;Low;Close\n2026-11-20;{text};{text};{text};{text}\n")
    bars = read_history(path, NEW_YORK, readings=Readings(decimal=mark)).bars
    assert bars["close"].tolist() == [expected]
