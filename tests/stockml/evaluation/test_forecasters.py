"""A forecaster of another package is a row like any other; one that fails costs its own row
alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import LooksAhead
from stockml.evaluation import forecasters
from stockml.evaluation.distribution_scores import vintage_rows
from stockml.evaluation.forecasters import forecaster_rows, identities
from stockml.evaluation.look_ahead import check_rows
from stockml.models.vintage_set import VintageSet
from tests.support.patience import PATIENCE_S
from tests.support.walks import walk

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[3]
EXAMPLE = PROJECT / "docs" / "examples" / "gjr_garch"
SERIES, AT, LEADS = walk(900), np.array([600, 700, 800]), np.array([1, 5, 50])
THEIRS = """
import numpy as np
from statistics import NormalDist
from stockml.models.lead_grid import LEVELS

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


def install(names: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with these classes, as pip would."""
    (folder / "theirs.py").write_text(THEIRS)
    (about := folder / "theirs-1.2.dist-info").mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
    lines = (f"{name} = theirs:{name}\n" for name in names.split())
    (about / "entry_points.txt").write_text(f"[{forecasters.GROUP}]\n{''.join(lines)}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_it_learns_up_to_the_first_origin_and_is_a_row_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Walk", tmp_path, monkeypatch)
    rows, reasons = vintage_rows(SERIES, AT, LEADS, VintageSet(None, None, None))
    deviation = np.diff(np.log(SERIES.close[:601])).std()
    assert (list(rows), reasons, identities()) == (["Walk"], {}, ["Walk=theirs:Walk 1.2"])
    assert rows["Walk"].shape == (3, 3, 21)
    assert rows["Walk"][0, 1, 15] == pytest.approx(deviation * np.sqrt(5) * 0.6744898)


def test_one_that_raises_or_falls_or_is_slow_costs_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Walk Raises Falls Slow", tmp_path, monkeypatch)
    monkeypatch.setattr(forecasters, "PATIENCE_S", 5.0)
    rows, reasons = forecaster_rows(SERIES, AT, LEADS)
    assert list(rows) == ["Walk"]
    assert "RuntimeError: 601 sessions are too few; correct theirs:Raises" in reasons["Raises"]
    assert "finite quantiles that never fall" in reasons["Falls"]
    assert "within 5 s, found none" in reasons["Slow"]


def test_one_that_looks_ahead_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("Seer", tmp_path, monkeypatch)
    with pytest.raises(LooksAhead, match="Seer"):
        check_rows(SERIES, 800, lambda series: forecaster_rows(series, AT, LEADS)[0])


@pytest.mark.campaign
def test_the_example_is_installed_as_a_package_of_its_own_and_is_a_row_of_a_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", tmp_path]
    subprocess.run([*uv, "arch", "statsmodels", "patsy", EXAMPLE], check=True)  # the rest is there
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path / "home"))
    night = [sys.executable, "-m", "deployments.run", "IBM"]
    said = subprocess.run(
        night, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout
    assert any(line.startswith("GJR-GARCH") for line in said.splitlines()), said
