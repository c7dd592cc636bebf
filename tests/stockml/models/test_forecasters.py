"""A forecaster of another package is a row like any other, and a night's model where a setting
names it; one that fails costs its own row alone."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.form import dotted
from stockml.errors import InvalidFile, InvalidSetting, LooksAhead
from stockml.evaluation.distribution_scores import vintage_rows
from stockml.evaluation.look_ahead import check_rows
from stockml.models import forecasters
from stockml.models.forecasters import forecaster_rows, identities
from stockml.models.regressions import RIDGE, published_median
from stockml.models.trained_model import Decision, load_model
from stockml.models.vintage_set import VintageSet
from stockml.settings import settings_for
from stockml.training.train import train
from tests.support.patience import PATIENCE_S
from tests.support.replaying import SMALL
from tests.support.walks import walk

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[3]
EXAMPLE = PROJECT / "docs" / "examples" / "gjr_garch"
SERIES, AT, LEADS = walk(900), np.array([600, 700, 800]), np.array([1, 5, 50])
THEIRS = """
import numpy as np
from statistics import NormalDist
from stockml.models.regressions import LEVELS

class Walk:
    def fit(self, known):
        self.deviation = np.diff(np.log(known.close)).std()
        self.sessions = len(known)
    def quantiles(self, series, origins, leads):
        width = self.deviation * np.sqrt(leads) * (1 + 0 * series.close[origins, None])
        return width[..., None] * [NormalDist().inv_cdf(level) for level in LEVELS]

class Raises(Walk):
    def fit(self, known):
        raise RuntimeError(f"{len(known)} sessions are too few")

class Falls(Walk):
    def quantiles(self, *asked):
        return -super().quantiles(*asked)

class Seer(Walk):
    def quantiles(self, series, origins, leads):
        return super().quantiles(series, origins, leads) * series.close[-1]

class Slow(Walk):
    def fit(self, known):
        while True: pass
"""


Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with these classes, as pip would."""

    def installed(names):
        (tmp_path / "theirs.py").write_text(THEIRS)
        (about := tmp_path / "theirs-1.2.dist-info").mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
        lines = (f"{name} = theirs:{name}\n" for name in names.split())
        (about / "entry_points.txt").write_text(f"[{forecasters.GROUP}]\n{''.join(lines)}")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return installed


def upper_quartile_at_5(last):
    """Walk's at lead 5, fitted to the bars through session `last`."""
    deviation = np.diff(np.log(SERIES.close[: last + 1])).std()
    return pytest.approx(deviation * np.sqrt(5) * 0.6744898)


def test_it_learns_up_to_the_first_origin_and_one_that_raises_or_falls_or_is_slow_costs_its_own_row(
    install, monkeypatch
):
    install("Falls Raises Slow Walk")
    monkeypatch.setattr(forecasters, "PATIENCE_S", 5.0)
    rows, reasons = vintage_rows(SERIES, AT, LEADS, VintageSet(None, None, None))
    assert (list(rows), identities()[-1]) == (["Walk"], "Walk=theirs:Walk 1.2")
    assert rows["Walk"].shape == (3, 3, 21)
    assert rows["Walk"][0, 1, 15] == upper_quartile_at_5(AT[0])
    for name, why in (
        ("Raises", "RuntimeError: 601 sessions are too few; correct the forecaster Raises"),
        ("Falls", "finite quantiles that never fall"),
        ("Slow", "within 5 s, found none"),
    ):
        assert why in reasons[name]


def test_one_that_looks_ahead_is_found_out(install):
    install("Seer")
    with pytest.raises(LooksAhead, match="Seer"):
        check_rows(SERIES, 800, lambda series: forecaster_rows(series, AT, LEADS)[0])


def trained(folder, name="Walk"):
    settings = settings_for("nightly", {**dotted(SMALL), "training.forecaster": name})
    return train(SERIES, settings, Decision("retrain", "first"), champion=None, folder=folder)


def test_one_that_a_setting_names_is_fitted_before_the_unseen_parts_kept_and_read_back(
    tmp_path, install
):
    install("Walk")
    model = trained(tmp_path / "model")
    unseen = np.array([*model.parts.validation][:3])
    assert model.held_out.learned_until == SERIES.sessions[unseen[0] - 1]
    assert model.published.learned_until == SERIES.sessions[-1]
    assert (model.held_out.width_by, model.published.width_by) == ("Walk", "Walk")
    median, width = model.held_out.forecast(SERIES, unseen, LEADS)
    assert median == pytest.approx(published_median(SERIES, unseen, LEADS))
    assert width[0, 1, 15] == upper_quartile_at_5(unseen[0] - 1)
    _, again = load_model(tmp_path / "model").held_out.forecast(SERIES, unseen, LEADS)
    assert np.array_equal(width, again)
    (tmp_path / "theirs-1.2.dist-info" / "entry_points.txt").write_text("")
    with pytest.raises(InvalidFile, match="one by Walk, whose package is not installed"):
        load_model(tmp_path / "model")


def test_a_faulty_one_leaves_the_night_to_the_ridge_regression_and_an_unknown_one_is_refused(
    tmp_path, install
):
    install("Walk Raises")
    model = trained(tmp_path / "model", "Raises")
    assert "sessions are too few; correct the forecaster Raises" in model.decision.reason
    assert model.published.width_by == RIDGE
    assert model.published.forecast(SERIES, AT, LEADS)[1] is None
    with pytest.raises(InvalidSetting, match="one of LSTM, Raises, Walk"):
        trained(tmp_path / "model", "Nobody")


@pytest.mark.campaign
def test_the_example_is_installed_as_a_package_of_its_own_is_a_row_of_a_night_and_champion(
    tmp_path, monkeypatch
):
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", tmp_path]
    subprocess.run([*uv, "arch", "statsmodels", "patsy", EXAMPLE], check=True)  # the rest is there
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path / "home"))
    chosen = ["--set", "training.forecaster=GJR-GARCH", "--details"]
    night = [sys.executable, "-m", "deployments.cli", "nightly", "IBM", *chosen]
    said = subprocess.run(
        night, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout
    assert any(line.startswith("GJR-GARCH") for line in said.splitlines()), said
    assert "the GJR-GARCH's" in said
    assert "promoted: first model" in said
