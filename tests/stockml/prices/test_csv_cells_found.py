"""Price files as people find them: more layouts that are read, and refusals that say what to do."""

import gzip
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.prices.bars import days_of
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_cells import Readings
from stockml.prices.csv_import import read_history
from stockml.settings import DecimalMark
from tests.stockml.prices.test_csv_cells import HEADER, LAYOUTS, ROWS, written
from tests.support import strategies

NEW_YORK = sessions_for("IBM")

FOUND = {
    "an empty line above the header": "\n" + LAYOUTS["Kaggle"],
    "a title, with a comma, and an empty line above the header": "IBM, daily prices\n\n" + LAYOUTS["Kaggle"],
    "a comma at the end of every row": LAYOUTS["Stooq, single"].replace("00\n", "00,\n"),
    "old line ends of a Macintosh": LAYOUTS["Kaggle"].replace("\n", "\r"),
    "a share that is named twice": "Symbol,Name,"
    + "IBM,International,".join(LAYOUTS["Stooq, single"].splitlines(keepends=True)),
    "investing.com": """"Date","Price","Open","High","Low","Vol.","Change %"
"11/20/2026","1,250.00","1,234.50","1,300.00","1,200.00","12.00M","11,804.76%"
"11/19/2026","10.50","10.00","11.00","9.00","1.00K","-0.19%"
""",
    "investing.com, named months": """Date,Price,Open,High,Low,Vol.,Change %
"Nov 20, 2026","1,250.00","1,234.50","1,300.00","1,200.00",0.012B,2%
"Nov 19, 2026",10.50,10.00,11.00,9.00,1K,-0.19%
""",
    "TradingView": """time,open,high,low,close,Volume
1795098600,10.00,11.00,9.00,10.50,1000
1795185000,1234.50,1300.00,1200.00,1250.00,12000000
""",
    "TradingView, times as text": """time,open,high,low,close,Volume
2026-11-19T14:30:00Z,10.00,11.00,9.00,10.50,1000
2026-11-20T14:30:00Z,1234.50,1300.00,1200.00,1250.00,12000000
""",
    "Boursorama": """date;ouv;haut;bas;clot;vol;devise
19/11/2026 00:00;10,00;11,00;9,00;10,50;1000;EUR
20/11/2026 00:00;1234,50;1300,00;1200,00;1250,00;12000000;EUR
""",
    "investing.com, in German": """\ufeff"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"
"20.11.2026","1.250,00","1.234,50","1.300,00","1.200,00","12,00M","-0,11%"
"19.11.2026","10,50","10,00","11,00","9,00","1,00K","-0,19%"
""",
}


@pytest.mark.parametrize("layout", FOUND)
def test_more_layouts_give_the_same_bars(tmp_path: Path, layout: str) -> None:
    history = read_history(written(tmp_path, FOUND[layout]), NEW_YORK)
    assert history.bars.equals(strategies.bars_of(ROWS))
    assert history.notes.empty == 0


def test_moments_are_days_of_the_exchange_also_before_then_and_where_its_day_begins_earlier(tmp_path: Path) -> None:
    rows = "time,open,high,low,close,Volume\n-252322200,10,11,9,10.5,1000\n1795185000,10,11,9,10.5,1000\n"
    assert [*map(str, days_of(read_history(written(tmp_path, rows), NEW_YORK).bars))] == ["1962-01-02", "2026-11-20"]
    rows = "time,open,high,low,close,Volume\n83597400,10,11,9,10.5,1000\n"  # eight digits, as a day may have
    assert [*map(str, days_of(read_history(written(tmp_path, rows), NEW_YORK).bars))] == ["1972-08-25"]
    rows = "time,open,high,low,close,Volume\n1795046400,10,11,9,10.5,1000\n"  # midnight, of a file that knows days only
    assert [*map(str, days_of(read_history(written(tmp_path, rows), NEW_YORK).bars))] == ["2026-11-19"]
    in_greenwich = ("1795042800", "2026-11-18T23:00:00Z", "2026-11-18 23:00:00+00:00", "2026-11-18 23:00:00 UTC")
    for time in in_greenwich:  # 10:00 in Sydney
        rows = f"time,open,high,low,close,Volume\n{time},10,11,9,10.5,1000\n"
        history = read_history(written(tmp_path, rows), sessions_for("BHP", "XASX"))
        assert [*map(str, days_of(history.bars))] == ["2026-11-19"]


def test_the_time_of_a_running_session_does_not_move_the_days_above_it(tmp_path: Path) -> None:
    """New York's became the evenings before, and the file was refused as another exchange's."""
    days = [str(day) for day in NEW_YORK.between(date(2026, 11, 2), date(2026, 11, 20))]
    rows = [f"{day}T{'20:31:07.5' if day == days[-1] else '00:00:00'}Z,10,11,9,10.5,1000\n" for day in days]
    history = read_history(written(tmp_path, f"time,open,high,low,close,Volume\n{''.join(rows)}"), NEW_YORK)
    assert [*map(str, days_of(history.bars))] == days


@pytest.mark.parametrize("first", ["1795185000", "46346"])
def test_a_number_that_is_no_day_is_refused_with_its_line(tmp_path: Path, first: str) -> None:
    rows = f"date,open,high,low,close\n{first},10,11,9,10.5\n1e300,10,11,9,10.5\n"
    with pytest.raises(InvalidFile, match="line 3: expected a date like"):
        read_history(written(tmp_path, rows), NEW_YORK)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_two_bytes_a_character_is_read_with_and_without_a_byte_order_mark(
    tmp_path: Path, encoding: str
) -> None:
    (path := tmp_path / "IBM.csv").write_bytes(LAYOUTS["Kaggle"].encode(encoding))
    assert read_history(path, NEW_YORK).bars.equals(strategies.bars_of(ROWS))


REFUSED = {
    "decimal commas without quotes": (
        HEADER + "2026-11-19,10,0,11,0,9,0,10,5,1000\n",
        "line 2: expected 6 cells as in the header, found 10; if the numbers have commas, separate the columns by "
        "semicolons or put the numbers in quotes",
    ),
    "a longer row below a title": (
        "IBM\n" + HEADER + "2026-11-19,1,1,1,1,1\n2026-11-20,1,1,1,1,1,2\n",
        "line 4: expected 6 cells as in the header, found 7",
    ),
    "two shares below each other": (
        "Symbol,Name," + HEADER + "IBM,A,2026-11-19,1,1,1,1,1\nFB,A,2026-11-20,1,1,1,1,1\n",
        "expected one share, found FB, IBM; keep one's rows, or drop the column",
    ),
    "a quote that is not closed": (
        HEADER + '2026-11-19,1,1,1,1,"1\n2026-11-20,1,1,1,1,1\n',
        "see that every quote is closed",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_row_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path, case: str) -> None:
    text, why = REFUSED[case]
    with pytest.raises(InvalidFile) as refusal:
        read_history(written(tmp_path, text), NEW_YORK)
    assert why in str(refusal.value)
    assert "index_col" not in str(refusal.value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    above=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0\r"), max_size=30), max_size=5),
    layout=st.sampled_from(["Kaggle", "Stooq, single", "Yahoo, download", "Nasdaq"]),
)
def test_whatever_stands_above_the_header_changes_no_bar(tmp_path: Path, above: list[str], layout: str) -> None:
    text = "".join(line.replace("\n", " ") + "\n" for line in above) + LAYOUTS[layout]
    assert read_history(written(tmp_path, "Prices\n" + text), NEW_YORK).bars.equals(strategies.bars_of(ROWS))


POINTS = "Date{0}Open{0}High{0}Low{0}Close\n{1}{0}2.009{0}2.017{0}2.001{0}2.010\n"


@pytest.mark.parametrize(("separator", "day"), [(";", "2016-10-03"), (";", "03.10.2016"), (",", "03.10.2016")])
@pytest.mark.parametrize(("decimal", "opened"), [("comma", 2009.0), ("point", 2.009)])
def test_a_point_that_may_mean_thousands_is_refused_with_both_readings_and_read_as_the_switch_says(
    tmp_path: Path, separator: str, day: str, decimal: DecimalMark, opened: float
) -> None:
    path = written(tmp_path, POINTS.format(separator, day))
    with pytest.raises(InvalidFile, match=r"line 2: 2.009 may be 2.009 \(point\) or 2009 \(comma\); say which"):
        read_history(path, NEW_YORK, readings=Readings(dates="day-first"))
    found = read_history(path, NEW_YORK, readings=Readings("day-first", decimal)).bars
    assert found["open"].tolist() == [opened]


@pytest.mark.parametrize(("decimal", "price"), [("point", "10,50"), ("point", ",5"), ("comma", "10.50")])
def test_a_number_that_cannot_be_read_as_the_switch_says_is_refused(
    tmp_path: Path, decimal: DecimalMark, price: str
) -> None:
    path = written(tmp_path, POINTS.format(";", "2016-10-03").replace("2.009", price))
    with pytest.raises(InvalidFile, match=f"line 2: expected a number as open, found '{price}'"):
        read_history(path, NEW_YORK, readings=Readings(decimal=decimal))


@pytest.mark.parametrize(
    ("sold", "read"), [('"12,34,567"', 1234567.0), ('"1,234,567"', 1234567.0), ("1.2K", 1200.0), ("3m", 3e6)]
)
def test_a_volume_may_be_in_groups_of_any_country_or_shortened(tmp_path: Path, sold: str, read: float) -> None:
    text = POINTS.format(",", "2016-10-03").replace("Close", "Close,Volume").replace("10\n", f"10,{sold}\n")
    assert read_history(written(tmp_path, text), NEW_YORK).bars["volume"].tolist() == [read]
    with pytest.raises(InvalidFile, match="line 2: expected a number as volume, found '1,2K'"):
        read_history(written(tmp_path, text.replace(sold, '"1,2K"')), NEW_YORK)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        (POINTS.format(",", "2016-10-03"), 2.01),  # nothing in the file is written as in countries with decimal commas
        (POINTS.format(",", "2016.10.03"), 2.01),
        (POINTS.format(";", "2016-10-03").replace("2.017", "2.02"), 2.01),
        (POINTS.format(";", "2016-10-03").replace("2.0", "1002.0"), 1002.01),
        (POINTS.format(";", "2016-10-03").replace(".", ",").replace("2,0", "1002,0"), 1002.01),
        (POINTS.format(";", "2016-10-03").replace("2.0", ",0"), 0.01),  # and not 10, as if a thousand of nothing
        (POINTS.format(";", "2016-10-03").replace("Close", "Close;Volume").replace("10\n", "10;1.200.300\n"), 2010.0),
    ],
)
def test_a_number_that_can_be_read_in_one_way_only_settles_the_file(tmp_path: Path, text: str, closed: float) -> None:
    assert read_history(written(tmp_path, text), NEW_YORK).bars["close"].tolist() == [closed]


def test_a_packed_file_is_refused_as_such(tmp_path):
    path = tmp_path / "IBM.csv"
    path.write_bytes(gzip.compress(LAYOUTS["Kaggle"].encode()))
    with pytest.raises(InvalidFile, match=r"IBM\.csv: expected a CSV file of daily prices, found one packed by gzip"):
        read_history(path, NEW_YORK)
