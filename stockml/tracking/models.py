"""A night's model in MLflow: logged once, registered once, loadable without this repository.

MLflow's alias `champion` follows the promotion history, unless a person moved it: then the history
follows it.
"""

import io
import shutil
import tempfile
import warnings
import zipfile
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stockml import code_version
from stockml.errors import InvalidFile, TrackingUnavailable
from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.proper_scores import BANDS
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.models.trained_model import load_model, vintage_files
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.nights.record import Night, kept_night, model_name
from stockml.prices.bars import COLUMNS
from stockml.tracking import connection
from stockml.tracking.connection import Suppressed, without_retries
from stockml.tracking.run_content import version_note

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

KEY = "stockml.key"  # the tag with a night's key
CHALLENGER = "challenger"  # the alias of the newest session's version, until it is the champion
SERVED = "tracking.served_model"
SCRIPT = Path(__file__).with_name("served_model.py")
PINNED = ("mlflow", "numpy", "pandas", "pyarrow", "scipy", "exchange_calendars", "pydantic")
EXAMPLE_SESSIONS = 300


def log(client: "MlflowClient", run: "Run", night: Night) -> str | None:
    """Log tonight's model once, with all its files; returns its id in MLflow.

    None if the night made no model, or its files are gone or another version's.
    """
    from mlflow.entities import LoggedModelOutput

    if night.keeps_champion:
        return None
    try:
        load_model(Path(night.model_folder or ""))
        read_assessment(Path(night.evaluation_folder or ""))
    except InvalidFile:
        return None
    experiment_id, run_id = run.info.experiment_id, run.info.run_id
    # a killed attempt's, to be completed
    models = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    with without_retries():
        model, *_ = models or [
            client.create_logged_model(
                experiment_id, str(night.session), run_id, _version_tags(night)
            )
        ]
    if str(model.status) != "READY":
        if not (run.outputs and run.outputs.model_outputs):
            client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=0)])
        _upload(client, model, run, night)
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def register(client: "MlflowClient", run: "Run", night: Night, model_id: str) -> None:
    """Register the night's logged model once, and name it `challenger`.

    A past night's, older than the newest version's, is registered only if it is promoted.
    """
    name, is_promoted = model_name(night.ticker), bool(night.verdict and night.verdict.promoted)
    newest = client.search_model_versions(
        f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
    )
    is_past = any(version.tags.get("session", "") > str(night.session) for version in newest)
    if is_past and not is_promoted:
        return
    if registered := version_of_key(client, name, night.key):
        number = str(registered.version)
    else:
        number = new_version(
            client,
            name,
            about(night.ticker),
            {"ticker": night.ticker},
            source=client.get_logged_model(model_id).artifact_location,
            run_id=run.info.run_id,
            model_id=model_id,
            tags=_version_tags(night),
            description=version_note(night),
        )
    if not is_past:
        client.set_registered_model_alias(name, CHALLENGER, number)


def about(ticker: str) -> str:
    return f"Forecasts {ticker}'s close: daily bars in, the path with intervals out."


def version_of_key(client: "MlflowClient", name: str, key: str) -> "ModelVersion | None":
    """The version that the night with this key registered."""
    versions = client.search_model_versions(f"name = '{name}' AND tags.`{KEY}` = '{key}'")
    return min(versions, key=lambda version: int(version.version), default=None)


def id_of_key(client: "MlflowClient", experiment_id: str, key: str) -> str | None:
    """The id of the model that the night with this key logged."""
    models = client.search_logged_models([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    return next((str(model.model_id) for model in models), None)


def version_by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """The version that the alias names; None if there is none, which MLflow reports by either of
    two errors."""
    with Suppressed("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return client.get_model_version_by_alias(name, alias)
    return None


def _upload(client: "MlflowClient", model: "LoggedModel", run: "Run", night: Night) -> None:
    """Write the pyfunc model beside its weights and the source it needs, and upload the folder."""
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # a night whose series is gone by now has no example bars
        warnings.filterwarnings("ignore", ".*input example was not provided")
        path, code, script = (Path(folder) / name for name in ("model", "stockml.zip", SCRIPT.name))
        code.write_bytes(zipped_code())
        # MLflow copies permissions too, and all may read SCRIPT
        script.write_bytes(SCRIPT.read_bytes())
        mlflow.pyfunc.save_model(
            path=str(path),
            python_model=str(script),
            artifacts={**_artifacts(night, Path(folder)), "code": str(code)},
            signature=_signature(),
            input_example=_example(night),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in PINNED],
            model_config={"ticker": night.ticker, "calendar": night.calendar},
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=run.info.run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
        )
        client.log_model_artifacts(model.model_id, str(path))


@cache
def zipped_code() -> bytes:
    """The modules of stockml that the served model imports, in one zip: `code_paths` would upload
    each file."""
    content, package = io.BytesIO(), code_version.PACKAGE
    modules = {file for name, file in code_version.sources(SERVED).items() if name != SERVED}
    packages = {
        parent / "__init__.py"
        for file in modules
        for parent in file.parents
        if parent.is_relative_to(package)
    }
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(modules | packages):
            # dated 1980, not by the checkout
            member = zipfile.ZipInfo(file.relative_to(package.parent).as_posix())
            archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return content.getvalue()


def _artifacts(night: Night, scratch: Path) -> dict[str, str]:
    """The model's folder with the vintages that it names, else that night's newest."""
    trained = scratch / "trained"
    shutil.copytree(night.model_folder or "", trained)
    vintages = vintage_files(Path(night.model_folder or ""))
    for file in vintages or VintageSet.ending_before(night.session).files((SHIPPED,)):
        shutil.copyfile(file, trained / file.name)
    return {"model": str(trained)}


def _signature() -> "ModelSignature":
    """Bars in, one row per lead out. A session may be a date or text, a price or a volume a whole
    number, as in CSV."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    kind = AnyType()  # type: ignore[no-untyped-call]  # "double" would refuse whole numbers
    bars: list[Any] = [ColSpec(kind, name) for name in ("session", *COLUMNS)]
    path: list[Any] = [
        ColSpec("long", "lead"),
        ColSpec("datetime", "session"),
        ColSpec("double", "path"),
    ]
    bands = [ColSpec("double", f"{side}_{band}") for band in BANDS for side in ("low", "high")]
    return ModelSignature(
        Schema(bars), Schema([*path, *bands, ColSpec("double", "probability_of_rise")])
    )


def _example(night: Night) -> "pd.DataFrame | None":
    if night.dataset_path is None or not Path(night.dataset_path).is_file():
        return None
    import pandas as pd

    bars = pd.read_parquet(night.dataset_path).tail(EXAMPLE_SESSIONS).reset_index(drop=True)
    bars["session"] = pd.to_datetime(bars["session"])
    return bars[["session", *COLUMNS]]


def _version_tags(night: Night) -> dict[str, str]:
    tags = {
        KEY: night.key,
        "stockml.model_sha256": night.model_sha256 or "",
        "session": night.session.isoformat(),
        "mode": night.mode,
    }
    return {name: value for name, value in tags.items() if value}


@without_retries()
def new_version(
    client: "MlflowClient", name: str, about: str, model_tags: dict[str, str], **version: Any
) -> str:
    """Register a `version`; returns its number.  about, model_tags: of the model, created if
    missing."""
    with Suppressed("RESOURCE_DOES_NOT_EXIST"):
        return str(client.create_model_version(name, **version).version)
    with Suppressed("RESOURCE_ALREADY_EXISTS"):  # another process was first
        client.create_registered_model(name, tags=model_tags, description=about)
    return str(client.create_model_version(name, **version).version)


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
