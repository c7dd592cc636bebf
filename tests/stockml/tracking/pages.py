"""What MLflow is given of recorded nights: its pages' texts, and what stands in a run."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from stockml.nights import status
from stockml.nights.key_figures import WIDTH, KeyFigures
from stockml.nights.record import Night
from stockml.settings import settings_for
from stockml.tracking import experiments, run_content, views
from tests.support.nights import history, recorded_night

KEPT = Path(__file__).with_name("pages.txt")
PLOTS = ("averages", "forecast", "leads")
HASHES = {name: name[0] * 64 for name in ("key", "data_hash", "config_hash", "code_hash")}


def night() -> Night:
    usual = recorded_night(git_diff="d" * 64, dataset_path="/series.parquet", **HASHES)
    return replace(usual, metrics={**usual.metrics, WIDTH: 80.0})


def path_night() -> Night:
    """Whose network forecasts a path, in other settings."""
    asked = settings_for(
        "tutorial", {"network.units": (6, 6), "mode": "retrain", "training.steps": 3}
    )
    dumped = json.loads(json.dumps(asked.flat()))  # as a record gives them back
    return recorded_night(share=0.6, history=history(), settings=dumped, **HASHES)


def texts() -> dict[str, str]:
    tonight = night()
    row = status.TickerRow(
        "IBM", tonight.session, "up to date", None, False, KeyFigures.of(tonight), None, ""
    )
    with TemporaryDirectory() as folder:
        for name in PLOTS:
            Path(folder, f"{name}.png").touch()
        note = run_content.description(replace(tonight, plots_folder=folder), "12", "a1")
    return {
        "a night's page": note,
        "a version's note": run_content.version_note(tonight),
        "above a ticker's nights": experiments.nights_note("IBM", "12", "1"),
        "above all tickers": experiments.record_note(status.markdown([row]), "1"),
        "a run": _run(tonight),
        "a run of a path": _run(path_night()),
        "figures": "\n".join(
            f"{name} {value:.3g}" for name, value in sorted(tonight.metrics.items())
        ),
        "figures of a path": " ".join(sorted(path_night().metrics)),
        "views": "\n".join(
            (
                views.nights_view(),
                views.record_view(),
                views.trials_view(),
                views.tutorial_view(),
                views.pretrained_view(),
            )
        ),
    }


def _run(tonight: Night) -> str:
    parts = {
        "params": run_content.params(tonight),
        "tags": run_content.tags(tonight),
        "dataset": run_content.dataset(tonight),
    }
    # the network's losses by step are the history's, of the same names
    points = [point for point in run_content.points(tonight, 0) if point[0] != "loss"]
    return "\n".join([json.dumps(parts, indent=1), *(" ".join(map(str, each)) for each in points)])
