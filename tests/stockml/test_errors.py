"""Errors carry their data through pickling, and say what was expected, what was found and what to
do."""

import ast
import pickle
from datetime import date
from pathlib import Path

import pytest

from deployments import errors as servers
from deployments.errors import (
    AlreadyUp,
    NotRecorded,
    PasswordNeeded,
    PortTaken,
    ServerFailed,
    ServerUnavailable,
    WrongVersion,
)
from stockml import errors

PROJECT = Path(__file__).parents[2]
SAMPLES = [
    errors.InvalidTicker("../etc"),
    errors.InvalidSession("2013-13-01", "no such day"),
    errors.InvalidSetting("training.epochs", 0, "between 1 and 1000"),
    errors.InvalidFile("prices.csv", "expected a column Close, found none; export it again"),
    errors.OtherVersion(
        "network-2005-06.npz", "expected content of SHA-256 02, found another; retrain"
    ),
    errors.Unreachable("IBM", "www.alphavantage.co"),
    errors.MixedPrices("/srv/stockml", "replay", "market"),
    errors.RateLimited("IBM", "asked too fast", 65.0),
    errors.NoData("IBM", "{}"),
    errors.QuotaSpent("IBM", "25 a day"),
    errors.TiingoSpent("IBM", "1,000 a day", "day"),
    errors.NotOffered("TSCO.LON", "Tiingo has US symbols only"),
    errors.BadKey("IBM", "none"),
    errors.PremiumOnly("IBM", "outputsize=full"),
    errors.UnknownSymbol("IBX", "Invalid API call"),
    errors.BadPayload("IBM", "duplicate date 2013-03-01"),
    errors.StoreUnreadable("IBM.parquet", "a truncated file"),
    errors.DiskFull("night.json", "No space left on device"),
    errors.StoreBusy("IBM.lock", "waited 10 s"),
    errors.NoBars("IBM.parquet", "no bars yet"),
    errors.NoOverlap("IBM", tuple(date(2013, 2, day) for day in range(1, 9))),
    errors.InconsistentOverlap("IBM", date(2013, 3, 1), 0.5, 0.25),
    errors.TooFewBars(600, 100),
    errors.TooFewTickers(30, 2_000, date(2013, 3, 1), 3),
    errors.Diverged(3, float("inf")),
    errors.NoChampion("IBM", "nothing was promoted yet"),
    errors.NightBusy("IBM", 30.0),
    errors.BadTiingoKey("IBM", "none"),
    errors.ProcessKilled(8),
    NotRecorded("XYZ", ("AAPL", "IBM")),
    errors.RecordUnreadable("promotions.jsonl", "line 3: no JSON"),
    errors.InvalidForecast("IBM", "a chance of 1.2"),
    errors.LooksAhead("champion", "2010-03-01"),
    errors.RowUnavailable("all of them are left out:", "ends in 1999: OLD"),
    errors.NoForecast("IBM", "/home/me/.stockml"),
    errors.UnusableForecast("IBM", "a forecast of closes", "one of mid prices"),
    ServerUnavailable("Prefect", "http://127.0.0.1:4200/api", "start it with `stockml up`"),
    ServerFailed("MLflow", 1, "mlflow.log", "address in use"),
    WrongVersion("prefect", "<4,>=3.9", "2.0"),
    AlreadyUp("at http://127.0.0.1:4200"),
    PortTaken("MLflow", 5000, "--mlflow-port"),
    PasswordNeeded("0.0.0.0"),
    errors.TrackingUnavailable("http://127.0.0.1:5000", "connection refused"),
    errors.TrackingOutdated("sqlite:////home/mlflow.db", "another revision", "3.18.0", "3.17.2"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_reads_as_one_line(error: errors.StockmlError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert "\n" not in str(error)
    assert len(str(error)) > 10


def test_every_error_that_can_be_raised_has_a_sample() -> None:
    def leaves(kind: type) -> set[type]:
        below = kind.__subclasses__()
        return set().union(*map(leaves, below)) if below else {kind}

    named = {kind for kind in leaves(errors.StockmlError) if kind.__module__.endswith(".errors")}
    assert named <= {type(sample) for sample in SAMPLES}


def test_every_error_stands_in_an_errors_module() -> None:
    trees = {
        name
        for tree in (errors, servers)
        for name, kind in vars(tree).items()
        if isinstance(kind, type)
    }
    for room in ("stockml", "tasks", "flows", "deployments"):
        for file in (PROJECT / room).rglob("*.py"):
            kinds = [
                node
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.ClassDef)
            ]
            stray = [
                kind.name for kind in kinds if trees.intersection(map(ast.unparse, kind.bases))
            ]
            assert file.name == "errors.py" or not stray, f"{file}: {stray}"


def test_only_rate_limits_and_absent_data_are_worth_asking_again() -> None:
    transient = {
        type(sample) for sample in SAMPLES if isinstance(sample, errors.TransientFeedError)
    }
    assert transient == {errors.RateLimited, errors.NoData, errors.Unreachable}
