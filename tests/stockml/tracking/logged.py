"""What a test's MLflow holds of a ticker."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night
from stockml.tracking.client import Tracking

NOW = datetime(2013, 3, 1, 0, 31, tzinfo=UTC)


def client(tracking: Tracking) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(
        tracking_uri=tracking.home.tracking_uri, registry_uri=tracking.home.tracking_uri
    )


def changed(tracking: Tracking, **home: Any) -> Tracking:
    """The same of a home with these other places."""
    return replace(tracking, home=replace(tracking.home, **home))


def promote(tracking: Tracking, night: Night, version: str | None = None) -> None:
    """Make the night's model the champion of the history."""
    model = night.key, night.model_folder, night.model_sha256
    line = Promotion("IBM", "promote", *model, version, night.session, "better", NOW)
    Registry(tracking.home.models).promote(line)


def experiment(tracking: Tracking, ticker: str = "IBM") -> Any:
    """The ticker's; of "", that of all tickers."""
    return client(tracking).get_experiment_by_name(f"stockml/{ticker}".rstrip("/"))


def runs(tracking: Tracking, ticker: str = "IBM") -> list[Any]:
    found = experiment(tracking, ticker)
    return list(client(tracking).search_runs([found.experiment_id])) if found else []


def aliased(tracking: Tracking, alias: str = "champion") -> Any:
    """IBM's version of that alias."""
    return client(tracking).get_model_version_by_alias("lstm-IBM", alias)


def versions(tracking: Tracking, ticker: str = "IBM") -> list[Any]:
    return list(client(tracking).search_model_versions(f"name = 'lstm-{ticker}'"))


def unfilled(run: Any, view: str) -> list[str]:
    """The columns of an arranged page that stay empty for this run."""
    logged = run.data.to_dictionary()
    held = {f"{kind}.`{name}`" for kind in ("metrics", "params", "tags") for name in logged[kind]}
    return [column for column in json.loads(view)["selectedColumns"] if column not in held]
