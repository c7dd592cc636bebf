"""A search of seconds, which a process can start that has loaded neither Prefect nor MLflow."""

from stockml.settings import Settings, settings_for
from stockml.training.tuning import Sampler, Search
from tests.support.walks import walk

SERIES = walk(420)
SMALL = settings_for(
    "tutorial",
    {
        "network.units": [4],
        "network.look_back": 5,
        "network.dropout": 0.0,
        "training.epochs": 2,
        "training.batch_size": 32,
        "training.learning_rate": 1e-3,
        "evaluation.horizon": 5,
        "evaluation.direction_step": 3,
        "evaluation.test_sessions": 60,
        "evaluation.validation_sessions": 60,
    },
)
TINY = {"network.units": ((3,), (4,)), "training.learning_rate": (1e-3, 1e-2)}


def search(sampler: Sampler = "tpe", initial: Settings = SMALL, **changed: object) -> Search:
    return Search("ABC", changed.pop("series", SERIES), initial, sampler, TINY)  # type: ignore[arg-type]
