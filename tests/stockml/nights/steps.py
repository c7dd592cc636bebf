"""From a dataset to the verdict, through the steps' files, for nights of a share that never was."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stockml.evaluation.assessment import Assessment, read_assessment
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.nights.evaluate import evaluate_night
from stockml.nights.train import decide_mode, train_night
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, DecisionReceipt, ModelReceipt
from tests.support.walks import SMALL, turning, walk

ONE = SMALL.changed(evaluation=SMALL.evaluation.changed(origin_every=1))
ALONE, OWN = turning(903, turn=680), turning(903, turn=903)  # what is learned: not worth using; is
SHORT = replace(
    walk(103), sessions=walk(103).sessions + 800 * A_DAY
)  # too few sessions to learn from


@dataclass(frozen=True)
class Night:
    decision: DecisionReceipt
    model: ModelReceipt
    found: Assessment


def dataset_of(home: HomePaths, series: PriceSeries) -> DatasetReceipt:
    path, session = home.datasets / "ABC" / f"{len(series)}.parquet", series.sessions[-1].item()
    series.write(path)
    return DatasetReceipt("ABC", str(path), sha256_of(path), session, len(series))


def learned(
    home: HomePaths, series: PriceSeries, settings: Settings = ONE
) -> tuple[DecisionReceipt, ModelReceipt]:
    dataset = dataset_of(home, series)
    decision = decide_mode(home, dataset, settings)
    return decision, train_night(home, dataset, decision, settings)


def night(home: HomePaths, series: PriceSeries) -> Night:
    dataset, (decision, model) = dataset_of(home, series), learned(home, series)
    upcoming = tuple(dataset.session + timedelta(days=k) for k in range(1, 6))
    found = evaluate_night(home, dataset, decision, model, ONE.evaluation, upcoming=upcoming)
    return Night(decision, model, read_assessment(Path(found.path)))


def promote(home: HomePaths, model: ModelReceipt) -> None:
    sha256 = sha256_of(model.path)
    made = (
        sha256,
        model.path,
        sha256,
        None,
        model.session,
        "better",
        datetime(2013, 3, 2, tzinfo=UTC),
    )
    Registry(home.models).promote(Promotion("ABC", "promote", *made))
