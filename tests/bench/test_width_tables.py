"""The tables of widths and the vintages' generator, on a few generated tickers: what they promise about tickers."""

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.evaluation.simple_distributions import OWN_HAR, SHAPES
from stockml.models.pooled_regression import PooledRegression
from stockml.models.pooled_vintages import read
from stockml.prices.bars import make_bars
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from tests.bench.make_vintages import make, read_folder
from tests.bench.material import write_csv
from tests.bench.width_tables import REFERENCE, era, halves, table
from tests.support.walks import walk

CUT = date(2010, 12, 31)
SHAPED = ("pooled", "own")
COLUMNS = ("open", "high", "low", "close", "volume")


def tickers(count: int, sessions: int) -> dict[str, PriceSeries]:
    return {f"T{i}": walk(sessions, seed=i) for i in range(count)}


def test_scored_tickers_are_never_learned_from_and_each_is_in_one_half() -> None:
    learned, scored = halves(tickers(5, 10))
    assert sorted([*learned, *scored]) == ["T0", "T1", "T2", "T3", "T4"]
    assert not set(learned) & set(scored)


def test_an_era_has_every_row_beside_the_reference_and_names_who_is_left_out() -> None:
    prices = tickers(2, 5_400) | {"ENDED": walk(1_500, seed=9), "YOUNG": PriceSeries(*_newest(walk(5_400, 8), 3_000))}
    found = era(prices, PooledRegression.fit(tickers(3, 2_000), CUT), CUT)
    assert [line.row for line in found.lines] == [f"{row}, {each} shape" for row in SHAPES for each in SHAPED]
    assert set(found.left_out) == {"ENDED", *(f"YOUNG, {OWN_HAR}, {each} shape" for each in SHAPED)}
    assert {line.row: line.tickers for line in found.lines if OWN_HAR in line.row} == {
        f"{OWN_HAR}, {each} shape": 2 for each in SHAPED
    }
    reference = next(line for line in found.lines if line.row == REFERENCE)
    assert (reference.tickers, reference.crps, reference.share, reference.p_value) == (3, 0.0, 0.0, None)
    assert found.first >= "2011-03-31"
    assert len({line.count("|") for line in table(found) if line.startswith("|")}) == 1
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["cut"] == "2010-12-31"


def _newest(series: PriceSeries, sessions: int) -> list[np.ndarray]:
    return [getattr(series, name)[-sessions:] for name in ("sessions", *COLUMNS)]


def write_prices(folder: Path, name: str, seed: int) -> None:
    days = sessions_for("IBM").between(date(1996, 6, 3), date(1999, 9, 30))
    series = walk(len(days), seed=seed)
    write_csv(make_bars(days, {column: getattr(series, column) for column in COLUMNS}), folder / name)


def test_vintages_are_made_from_a_folder_described_and_the_refused_are_named(tmp_path: Path) -> None:
    folder, into = tmp_path / "prices", tmp_path / "made"
    for seed, name in enumerate(("aa.us.txt", "bb.us.txt")):
        write_prices(folder, name, seed)
    (folder / "cc.us.txt").write_text("no prices\n")
    assert set(read_folder(folder)[1]) == {"cc.us.txt"}
    first, second = make(folder, into, (date(1999, 3, 31), date(1999, 8, 31)))
    assert (first.name, second.name) == ("pooled-1999-03.json", "pooled-1999-08.json")
    assert read(second).tickers == ("AA", "BB")
    described = (into / "README.md").read_text(encoding="utf-8")
    assert "were still listed" in described
    assert "Left out: cc.us.txt" in described
    again = make(folder, tmp_path / "again", (date(1999, 3, 31),))[0]
    assert again.read_bytes() == first.read_bytes()


def test_more_bars_after_an_end_change_no_vintage(tmp_path: Path) -> None:
    whole = tickers(2, 2_000)
    cut = {ticker: series.until(1_500) for ticker, series in whole.items()}
    until = whole["T0"].sessions[1_499].item()
    short, long = PooledRegression.fit(cut, until), PooledRegression.fit(whole, until)
    np.testing.assert_array_equal(short.coefficients, long.coefficients)
    assert short.intercepts == pytest.approx(long.intercepts)
