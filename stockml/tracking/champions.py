"""MLflow's alias `champion` follows the promotion history, unless a person moved it: then the
history follows it."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stockml.errors import InvalidFile, TrackingUnavailable
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.models.trained_model import load_model
from stockml.nights.record import kept_night, model_name
from stockml.tracking import connection
from stockml.tracking.models import CHALLENGER, KEY, version_by_alias, version_of_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
# a registered model's tag: the key of the version that we set the alias to
FOLLOWED = "stockml.champion"


def honour(home: HomePaths, ticker: str, *, at: datetime) -> str:
    """Record as a rollback the champion that a person set in MLflow; returns what happened, "" if
    nothing.

    Does nothing while MLflow is away. Raises RecordUnreadable, StoreBusy.
    """
    registry = Registry(home.models)
    champion = registry.champion(ticker)
    if champion is None:
        return ""
    try:
        with connection.client(home) as client:
            chosen = set_by_hand(client, ticker)
            if chosen is None:
                return ""
            said = ""
            if chosen.tags.get(KEY) != champion.key:
                what = f"somebody set MLflow's alias `{ALIAS}` to version {chosen.version}"
                back = _as_rollback(home, ticker, chosen, at)
                if back is None:
                    return (
                        f"{what}, whose model is not in this home: {champion.session}'s stays "
                        "champion"
                    )
                registry.roll_back_to(back)
                champion, said = (
                    back,
                    f"{what}: the model of {back.session} is champion from now on",
                )
            client.set_registered_model_tag(model_name(ticker), FOLLOWED, champion.key)
            return said
    except TrackingUnavailable:
        return ""


def follow(client: "MlflowClient", ticker: str, key: str, *, over_hand: bool = False) -> str | None:
    """Point the alias at the version of the night `key`; returns its number, None if there is none.

    It is no challenger then. Where a person moved the alias it stays, for `honour`.  over_hand:
    move it all the same.
    """
    name = model_name(ticker)
    version = version_of_key(client, name, key)
    if version is None or (set_by_hand(client, ticker) and not over_hand):
        return None
    client.set_registered_model_alias(name, ALIAS, version.version)
    challenger = version_by_alias(client, name, CHALLENGER)
    if challenger and challenger.version == version.version:
        client.delete_registered_model_alias(name, CHALLENGER)
    # last: after a kill here, the history names the same
    client.set_registered_model_tag(name, FOLLOWED, key)
    return str(version.version)


def set_by_hand(client: "MlflowClient", ticker: str) -> "ModelVersion | None":
    """The version that the alias names, if a person and not this program set it to that."""
    name = model_name(ticker)
    version = version_by_alias(client, name, ALIAS)
    if version is None or version.tags.get(KEY) == client.get_registered_model(name).tags.get(
        FOLLOWED, ""
    ):
        return None
    return version


def _as_rollback(
    home: HomePaths, ticker: str, version: "ModelVersion", at: datetime
) -> Promotion | None:
    """The line that makes this version's model champion; None if the home does not have it
    whole."""
    key, number = version.tags.get(KEY, ""), str(version.version)
    lines = [line for line in Registry(home.models).history(ticker) if line.key == key]
    night = kept_night(home.nights, ticker, key) if key else None
    if not lines and night and night.model_folder and night.model_sha256:
        model = (key, night.model_folder, night.model_sha256)
        lines = [Promotion(ticker, "promote", *model, number, night.session, "", at)]
    if not lines or not lines[0].intact():
        return None
    try:
        load_model(Path(lines[0].path))
    except InvalidFile:
        return None
    return replace(
        lines[0], event="rollback", version=number, reason="set by hand in MLflow", at=at
    )
