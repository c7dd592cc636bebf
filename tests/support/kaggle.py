"""Kaggle's long daily price files, in `STOCKML_KAGGLE_DIR`, or in ../shared/kaggle beside the
project if that is unset.

Set but empty, it means that there are none. Tests that need the files are skipped without them."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LONG = ("hpq", "ibm", "ko", "ge", "xom")
BESIDE = Path(__file__).parents[2].parent / "shared" / "kaggle"
ABSENT = (
    "Kaggle's price files are absent: name their folder in STOCKML_KAGGLE_DIR, or put it at "
    "../shared/kaggle"
)


def kaggle_at_hand() -> Path | None:
    """The folder that holds Stocks/hpq.us.txt and others; None if absent."""
    named = os.environ.get("STOCKML_KAGGLE_DIR")
    folder = BESIDE if named is None else Path(named or os.devnull)
    return folder if (folder / "Stocks").is_dir() else None


def kaggle_folder() -> Path:
    folder = kaggle_at_hand()
    if folder is None:
        pytest.skip(ABSENT)
    return folder


def kaggle_mid(ticker: str) -> np.ndarray:
    """(n,) mid prices, oldest first."""
    bars = pd.read_csv(kaggle_folder() / "Stocks" / f"{ticker}.us.txt")
    return ((bars["High"] + bars["Low"]) / 2).to_numpy(dtype=np.float64)
