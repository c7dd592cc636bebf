"""A base network in MLflow: a run of the experiment `stockml/base`, and a version of `lstm-base` with its vintage.

Imported by `tracking` only; imports mlflow inside functions.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_vintages import digest
from stockml.tracking.runs import milliseconds

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "lstm-base"
SHA256 = "stockml.sha256"
Loss = tuple[str, float]  # member, loss of an epoch; in the order of learning


def log(
    client: "MlflowClient", experiment_id: str, base: BaseNetwork, path: Path, losses: Sequence[Loss], now: datetime
) -> str:
    """Log and register the base, once for its content; returns its version."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    sha256, vintage = digest(base), f"{base.through:%Y-%m}"
    known = client.search_model_versions(f"name = '{MODEL}' AND tags.`{SHA256}` = '{sha256}'")
    if known:
        return str(known[0].version)
    at = milliseconds(now)
    begun = client.search_runs([experiment_id], f"tags.`{SHA256}` = '{sha256}'", max_results=1)  # by a killed process
    run = begun[0] if begun else client.create_run(experiment_id, at, {SHA256: sha256}, f"base {vintage}")
    points = [
        Metric(_name(f"training/loss, {member}"), loss, at, step) for step, (member, loss) in enumerate(losses, 1)
    ]
    scores = [Metric(_name(name), value, at, 0) for name, value in base.scores.items()]
    params = {"through": base.through, "tickers": len(base.tickers), "sessions": base.sessions, "origins": base.origins}
    client.log_batch(
        run.info.run_id,
        metrics=[*points, *scores],
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag("vintage", vintage), RunTag("tickers", " ".join(base.tickers)[:4_000])],
    )
    client.log_artifact(run.info.run_id, str(path))
    client.set_terminated(run.info.run_id, "FINISHED", at)
    try:
        client.create_registered_model(MODEL, description="One LSTM learned across tickers: how far a price spreads.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"vintage": vintage, SHA256: sha256, "tickers": str(len(base.tickers))}
    source = f"{client.get_run(run.info.run_id).info.artifact_uri}/{path.name}"
    version = client.create_model_version(
        MODEL, source=source, run_id=run.info.run_id, tags=tags, description=_version_note(base)
    )
    return str(version.version)


def _version_note(base: BaseNetwork) -> str:
    return (
        f"Learned through {base.through} across {len(base.tickers)} tickers, {base.origins:,} origins. Daily bars of a "
        "ticker in; out, quantiles of log(mid price at a lead / close), 1 to 50 sessions ahead, symmetric about 0."
    )


def _name(name: str) -> str:
    """As MLflow takes it: letters, digits, and a few marks."""
    return name.replace(",", "").replace("%", "percent")
