"""The generators of the shipped vintages, on a few generated tickers and tiny networks."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.evaluation.distribution_scores import Losses
from stockml.evaluation.pretrain import pretrained_score
from stockml.models import vintage_store
from stockml.models.regressions import LEADS, HarRegression, RidgeRegression, moves, symmetrised
from stockml.models.vintage_set import VintageSet
from stockml.prices.bars import COLUMNS, make_bars
from stockml.prices.calendar import sessions_for
from stockml.training.network_trainer import MemberSettings
from tests.bench import make_vintages
from tests.bench.make_pretrained import BEGIN, SHARE, SKILL, make, write_readme
from tests.bench.material import write_csv
from tests.stockml.models.test_pretrained_network import pretrained
from tests.support.walks import walk

pytestmark = pytest.mark.campaign

TINY = (MemberSettings(units=(4, 3), dense=5, epochs=1),)


def write_prices(folder, name, seed):
    days = sessions_for("IBM").between(date(1996, 6, 3), date(1999, 9, 30))
    series = walk(len(days), seed=seed)
    write_csv(
        make_bars(days, {column: getattr(series, column) for column in COLUMNS}), folder / name
    )


def test_regressions_are_made_and_described_from_a_folder_and_refused_files_are_named(tmp_path):
    folder, into = tmp_path / "prices", tmp_path / "made"
    for seed, name in enumerate(("aa.us.txt", "bb.us.txt")):
        write_prices(folder, name, seed)
    (folder / "cc.us.txt").write_text("no prices\n")
    made = make_vintages.make(folder, into, (date(1999, 3, 31), date(1999, 8, 31)))
    months = ("1999-03", "1999-08")
    assert [path.name for path in made] == [
        f"{kind}-{month}.json" for month in months for kind in ("regression", "ridge")
    ]
    assert all(vintage_store.read(path).tickers == ("AA", "BB") for path in made)
    described = (into / "README.md").read_text(encoding="utf-8")
    assert "were still listed" in described
    assert "Left out: cc.us.txt" in described
    again = make_vintages.make(folder, tmp_path / "again", (date(1999, 3, 31),))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made[:2]]


def test_a_networks_score_is_the_mean_over_tickers_of_each_ones_skill():
    known = {f"T{i}": walk(1_200, seed=i) for i in range(3)}
    pooled = HarRegression.fit(known, date(2004, 6, 30))
    vintages = VintageSet(
        pooled, RidgeRegression.fit(known, date(2004, 6, 30), pooled), pretrained()
    )
    series, leads = {"A": walk(900, seed=8), "B": walk(900, seed=9)}, np.array(LEADS)
    origins = {"A": np.arange(100, 800, 50), "B": np.arange(100, 400, 50)}
    skills = []
    for name, at in origins.items():
        actual = moves(series[name], at, leads)
        simple = symmetrised(pooled.quantiles(series[name], at, leads))
        own = vintages.network_quantiles(series[name], at, leads)
        reference = Losses.of(simple, actual, leads).means[0]
        skills.append(1 - Losses.of(own, actual, leads).means[0] / reference)
    skill, share = pretrained_score(vintages, series, origins | {"NONE": np.arange(0)})
    assert skill == pytest.approx(np.mean(skills))
    assert share == 100 * np.mean(np.array(skills) > 0)


def test_pretrained_networks_are_made_from_tickers_and_described_once(tmp_path):
    series, end = {f"T{i}": walk(900, seed=i) for i in range(3)}, date(2003, 6, 19)
    vintage_store.write(HarRegression.fit(series, end), tmp_path)
    (tmp_path / "README.md").write_text("# Before\n")
    path = make(series, end, tmp_path, TINY)
    found = vintage_store.read(path)
    assert found.through == end
    assert {SKILL, SHARE} < set(found.scores)
    for _ in range(2):
        write_readme(tmp_path, Path("prices"))
    described = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert described.startswith("# Before\n")
    assert described.count(BEGIN) == described.count(path.name) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "README.md",
        path.name,
        "regression-2003-06.json",
        "replay-2003-06.npz",
        "ridge-2003-06.json",
    ]
    content = path.read_bytes()
    assert make(series, end, tmp_path, TINY).read_bytes() == content
