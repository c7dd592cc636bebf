"""The notebook beside the tutorial's page runs from its first cell to its last, with small
settings."""

import json
from pathlib import Path

import pytest

from stockml.plots.tutorial import FIGURES
from tests.support.notebook import NOTEBOOK, outputs
from tests.support.recordings import recorded


@pytest.mark.slow
def test_the_tutorials_notebook_walks_through_its_page(tmp_path: Path) -> None:
    file = tmp_path / "ibm.us.txt"
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    changed = {"network.units": (4,), "network.look_back": 5}
    cells = json.loads(NOTEBOOK.with_name("tutorial.ipynb").read_text())["cells"]
    [parameters] = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", ()))
    parameters["source"].append(
        f"\nFILE, EPOCHS, CHANGED, CELLS = {str(file)!r}, 1, {changed}, ('gru',)"
    )
    shown = [output for of_cell in outputs(cells) for output in of_cell]
    assert sum("image/png" in output.get("data", {}) for output in shown) == len(FIGURES)
    printed = "".join(line for output in shown for line in output.get("text", ()))
    for said in (
        "MSE error for EMA averaging",
        "[0.45 0.45 0.45 0.45 0.45]",
        "epoch 1 of 1: train",
        "gru     ",
    ):
        assert said in printed
