"""A test run says in one line which tests it left out because something is missing, and how to run them."""

import os
import subprocess
import sys

from tests.support.kaggle import ABSENT
from tests.support.patience import PATIENCE_S
from tests.support.skipped import FULL, said


def test_each_reason_is_listed_once_with_its_count() -> None:
    assert said(["Skipped: no browser", "no disk", "Skipped: no browser"]) == (
        "3 tests not run: 2 × no browser; 1 × no disk"
    )
    assert said(["no disk"]) == "1 test not run: 1 × no disk"
    assert said([]) == ""


def test_a_run_ends_with_a_line_that_names_what_is_missing() -> None:
    one = "tests/stockml/models/tutorial/test_recipe.py::test_on_hpq_the_baselines_are_the_published_ones"
    full = "tests/stockml/training/test_tutorial_full.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one, full]
    environment = os.environ | {"STOCKML_KAGGLE_DIR": ""}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert ran.stdout.splitlines()[-2] == f"2 tests not run: 1 × {ABSENT}; 1 × {FULL}"
    assert ran.stdout.splitlines()[-1].startswith("2 skipped")
