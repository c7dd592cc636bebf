"""The long daily files that `STOCKML_KAGGLE_DIR` names; a test that needs them says so where they are absent."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LONG = ("hpq", "ibm", "ko", "ge", "xom")


def kaggle_folder() -> Path:
    folder = os.environ.get("STOCKML_KAGGLE_DIR")
    if not folder:
        pytest.skip("STOCKML_KAGGLE_DIR is not set: the Kaggle files are not at hand")
    return Path(folder)


def kaggle_mid(ticker: str) -> np.ndarray:
    """(n,) mid prices, oldest first."""
    bars = pd.read_csv(kaggle_folder() / "Stocks" / f"{ticker}.us.txt")
    return ((bars["High"] + bars["Low"]) / 2).to_numpy(dtype=np.float64)
