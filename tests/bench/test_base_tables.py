"""The tables of the base network and the generator of its vintages, on a few generated tickers and tiny networks."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidSetting
from stockml.evaluation.base_scores import base_score
from stockml.evaluation.distribution_scores import losses
from stockml.models import base_vintages, pooled_vintages
from stockml.models.pooled_regression import LEADS, PooledRegression, moves
from stockml.training.base_trainee import MemberSettings
from tests.bench.base_tables import BASE, HALF, SHOWN, era
from tests.bench.make_bases import BEGIN, SHARE, SKILL, make, write_readme
from tests.bench.width_tables import REFERENCE, table
from tests.stockml.models.test_base_network import base
from tests.support.walks import walk

CUT = date(2004, 6, 30)
TINY = (MemberSettings(units=(4, 3), dense=5, epochs=1),)


@pytest.fixture(scope="module")
def pooled() -> PooledRegression:
    return PooledRegression.fit({f"T{i}": walk(1_200, seed=i) for i in range(3)}, CUT)


def test_a_base_stands_beside_the_simple_rows_and_who_lacks_the_era_is_named(pooled: PooledRegression) -> None:
    prices = {"A": walk(3_000, seed=8), "B": walk(3_000, seed=9), "ENDED": walk(1_400, seed=7)}
    found = era(prices, pooled, base(), CUT)
    assert [line.row for line in found.lines] == list(SHOWN)
    assert set(found.left_out) == {"ENDED"}
    lines = {line.row: line for line in found.lines}
    assert {line.tickers for line in lines.values()} == {2}
    assert lines[REFERENCE].crps == 0
    assert lines[BASE].crps < lines[HALF].crps < 0  # random weights
    assert found.first >= "2004-09-30"
    assert any(HALF in row for row in table(found))


def test_a_base_that_has_seen_the_era_is_refused(pooled: PooledRegression) -> None:
    with pytest.raises(InvalidSetting):
        era({"A": walk(3_000)}, pooled, base(), date(2004, 3, 1))


def test_a_score_is_the_mean_over_tickers_of_what_each_gains(pooled: PooledRegression) -> None:
    series, leads = {"A": walk(900, seed=8), "B": walk(900, seed=9)}, np.array(LEADS)
    origins = {"A": np.arange(100, 800, 50), "B": np.arange(100, 400, 50)}
    skills = []
    for name, at in origins.items():
        actual = moves(series[name], at, leads)
        simple = pooled.quantiles(series[name], at, leads, symmetric=True)
        own = base().quantiles(series[name], at, leads, pooled)
        reference = losses(simple, actual, leads).mean()
        skills.append([1 - losses(q, actual, leads).mean() / reference for q in (own, (own + simple) / 2)])
    found = base_score(base(), pooled, series, origins | {"NONE": np.arange(0)})
    assert (found.skill, found.half_skill) == pytest.approx(tuple(np.mean(skills, axis=0)))
    assert (found.tickers, found.share) == (2, 100 * np.mean(np.array(skills)[:, 0] > 0))


@pytest.mark.slow
def test_vintages_are_made_from_tickers_and_described_once(tmp_path: Path) -> None:
    series, end = {f"T{i}": walk(900, seed=i) for i in range(3)}, date(2003, 6, 19)
    pooled_vintages.write(PooledRegression.fit(series, end), tmp_path)
    (tmp_path / "README.md").write_text("# Before\n")
    path = make(series, end, tmp_path, TINY)
    found = base_vintages.read(path)
    assert found.through == end
    assert {SKILL, SHARE} < set(found.scores)
    for _ in range(2):
        write_readme(tmp_path, Path("prices"))
    described = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert described.startswith("# Before\n")
    assert described.count(BEGIN) == described.count(path.name) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["README.md", path.name, "pooled-2003-06.json"]
    content = path.read_bytes()
    assert make(series, end, tmp_path, TINY).read_bytes() == content
