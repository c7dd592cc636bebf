"""A night's steps, each cached by content: from the provider to the adjusted series, and on to the
champion.

A step is cached by its name, its code, and the content of its inputs; never by place or time. A
result is a receipt, kept as JSON under `STOCKML_HOME/results`. When what it refers to is gone or
changed, the result is dropped and the step runs again. Two runs of one ticker never look at once:
each holds the ticker's lock.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.results import ResultRecord
from prefect.states import Completed
from pydantic import BaseModel

from stockml import clock
from stockml.code_version import NIGHT_PACKAGES, checkout, code_hash, files_hash
from stockml.errors import (
    BadKey,
    FeedError,
    HistoryError,
    InvalidFile,
    PremiumOnly,
    QuotaSpent,
    TrackingUnavailable,
    TransientFeedError,
    quantity,
)
from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import current_home
from stockml.nights import dataset, evaluate, ingest, states, train
from stockml.nights import promote as promotion
from stockml.nights.night_key import evaluation_code, training_code
from stockml.nights.record import read_night
from stockml.prices.calendar import sessions_for
from stockml.provider import price_source
from stockml.provider.http import OutputSize
from stockml.settings import EvaluationSettings, Settings
from stockml.storage import receipts
from stockml.storage.receipts import (
    DatasetReceipt,
    DecisionReceipt,
    EvaluationReceipt,
    ModelReceipt,
    Receipt,
    StoreReceipt,
)
from stockml.tracking import models, night_log
from stockml.tracking.client import Tracking
from stockml.tracking.models import zipped_code
from tasks.artifacts import epoch_callback, mlflow_pages
from tasks.provider import provider, second_provider

P = ParamSpec("P")
R = TypeVar("R")
_step_modules: set[str] = set()  # of all steps


def keep_code_version() -> None:
    """Compute this process's code hashes now: what a `git pull` changes later, it has not
    imported."""
    for module in sorted(_step_modules):
        code_hash(module)
    training_code(), evaluation_code(), zipped_code(), checkout(), files_hash(*NIGHT_PACKAGES)


def key_of(
    module: str, context: TaskRunContext, inputs: dict[str, Any], *, ignores: Collection[str]
) -> str:
    """A step's key: its name, the code of the stockml `module` and what that imports, and the
    content of its inputs."""
    name = context.task.name
    content = {argument: value for argument, value in inputs.items() if argument not in ignores}
    text = json.dumps([name, code_hash(module), content], sort_keys=True, default=identity)
    key = f"{name.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
    forget_unless_reusable(current_home().results / key)
    return key


def identity(value: object) -> object:
    """What the key has of an input that is not plain JSON."""
    if isinstance(value, Receipt):
        return [type(value).__name__, *value.identity()]
    if (is_dataclass(value) and not isinstance(value, type)) or isinstance(value, BaseModel):
        return vars(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(
        "expected a receipt, a setting or plain data as a step's input, found "
        f"{type(value).__name__}"
    )


def forget_unless_reusable(record: Path) -> None:
    """Remove a cached result whose receipt is not reusable or another home's; the step then runs
    again."""
    try:
        result: object = ResultRecord.deserialize(record.read_bytes()).result
    except FileNotFoundError:
        return
    except Exception:  # noqa: BLE001 - whatever is wrong, it is computed again
        result = None
    if not (
        isinstance(result, Receipt) and current_home().holds(result.path) and result.is_reusable()
    ):
        record.unlink(missing_ok=True)


def step(
    name: str, *, module: str, of: str | None = None, ignores: Collection[str] = (), **options: Any
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that is cached by content. `module` is the stockml module that does its work,
    `options` are Prefect's.

    of: the input whose ticker and session name the run.  ignores: inputs that do not affect the
    result.
    """
    if of:
        options["task_run_name"] = f"{name} {{{of}.ticker}} {{{of}.session}}"
    key = partial(key_of, module, ignores=ignores)
    _step_modules.add(module)
    return task(
        name=name, cache_key_fn=key, persist_result=True, result_serializer="json", **options
    )


def with_home_storage(cached: Task[P, R], *, force: bool = False) -> Task[P, R]:
    """The step with its results under the present STOCKML_HOME; `force`: recompute."""
    return cached.with_options(result_storage=current_home().results, refresh_cache=force)


ASKS: dict[str, Any] = {  # a step that asks the provider
    "module": "nights.ingest",
    "ignores": ("now",),
    "retries": 1,
    "retry_delay_seconds": 65,
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": lambda task, run, state: isinstance(state.data, TransientFeedError),
}


@step("fetch", task_run_name="fetch {ticker} {session}", **ASKS)
def fetch_daily(
    ticker: str,
    session: date,
    calendar: str | None,
    now: datetime,
    outputsize: OutputSize = "compact",
) -> receipts.PayloadReceipt:
    """Fetch the daily bars known after `session`, keep the payload, and return its receipt."""
    with provider() as client:
        days = sessions_for(ticker, calendar)
        payload = ingest.fetch(
            current_home(), client, ticker, session, sessions=days, now=now, outputsize=outputsize
        )
    price_source.claim(current_home(), price_source.kind_of(os.environ))
    get_run_logger().info("%s answer kept, its newest session is %s", outputsize, payload.newest)
    return payload


@step("fetch history", task_run_name="fetch history {ticker} {session}", **ASKS)
def fetch_history(
    ticker: str, session: date, calendar: str | None, now: datetime
) -> receipts.PayloadReceipt | State:
    """Fetch all daily bars, as `fetch_daily`; returns the state Refused, no failure, if the plan
    excludes them."""
    try:
        return fetch_daily.fn(ticker, session, calendar, now, "full")
    except PremiumOnly as refused:
        return Completed(name=states.REFUSED, message=str(refused))


@task(
    name="import history",
    cache_policy=NO_CACHE,
    persist_result=False,
    task_run_name="import history {ticker}",
)
def import_history(ticker: str, calendar: str | None, now: datetime) -> str:
    """Import the second provider's bars of the ticker; returns the result in words. Refusals end no
    night."""
    with second_provider() as second:
        try:
            new = ingest.import_history(current_home(), second, ticker, calendar=calendar, now=now)
        except HistoryError as refused:
            return str(refused)
        except FeedError as refused:
            again = isinstance(refused, QuotaSpent | TransientFeedError | BadKey)
            once = f" once this {refused.period} is over" if isinstance(refused, QuotaSpent) else ""
            hint = f"; `stockml import {ticker}` asks again{once}" if again else ""
            # with the variable to correct
            why = refused if isinstance(refused, BadKey) else refused.notice
            return f"no history from {second.name}: {why}{hint}"
    return (
        f"history from {second.name} imported"
        if new
        else f"history from {second.name} was there already"
    )


@task(
    name="who is delisted",
    task_run_name="who is delisted",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ask_who_is_delisted(ticker: str, now: datetime) -> bool:
    """Ask which symbols are no longer listed, at most once a week for all tickers."""
    with provider() as client:
        return ingest.ask_who_is_delisted(current_home(), client, ticker, now)


@step("append", of="payload", module="nights.ingest", ignores=("now",))
def append_bars(
    payload: receipts.PayloadReceipt, calendar: str | None, now: datetime
) -> StoreReceipt:
    """Add the payload's bars to the store; the receipt says how many were added and restated."""
    return ingest.append(current_home(), payload, calendar=calendar, now=now)


@step("explain jumps", of="bars", **ASKS)
def explain_jumps(bars: StoreReceipt, calendar: str | None, now: datetime) -> StoreReceipt:
    """Ask for the ticker's splits if a jump looks like one, and keep them beside the bars."""
    with provider() as client:
        return ingest.explain_jumps(current_home(), client, bars, calendar=calendar, now=now)


@step("renormalise", of="bars", module="nights.dataset")
def renormalise(bars: StoreReceipt, calendar: str | None, beside: str) -> DatasetReceipt:
    """Write the series adjusted through the session: what the model sees, whose hash is the night's
    data hash.

    beside: hashes of its other inputs, for the step's key.
    """
    series = dataset.renormalise(current_home(), bars, calendar=calendar)
    get_run_logger().info(
        "%s up to %s", quantity(series.sessions, "adjusted session"), series.session
    )
    return series


@step("decide", of="dataset", module="nights.train")
def decide_mode(dataset: DatasetReceipt, settings: Settings) -> DecisionReceipt:
    """Decide to retrain, fine-tune or keep, with the reason; a repeated night decides as it did the
    first time."""
    night_log.promote_pending(current_home(), dataset.ticker)
    if by_hand := models.honour(current_home(), dataset.ticker, at=clock.now()):
        get_run_logger().warning("%s", by_hand)
    return train.decide_mode(current_home(), dataset, settings, by_hand)


@step(
    "train",
    module="nights.train",
    task_run_name="{decision.mode} {dataset.ticker} {dataset.session}",
)
def train_model(
    dataset: DatasetReceipt, decision: DecisionReceipt, settings: Settings
) -> ModelReceipt:
    """Train as decided; the tutorial's network resumes from the last epoch of an interrupted
    run."""
    on_epoch = epoch_callback(dataset.ticker, dataset.session)
    return train.train_night(current_home(), dataset, decision, settings, on_epoch=on_epoch)


@step("evaluate", of="dataset", module="nights.evaluate")
def evaluate_model(
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    model: ModelReceipt,
    settings: EvaluationSettings,
    upcoming: tuple[date, ...],
) -> EvaluationReceipt:
    """Score tonight's model beside the champion and the baselines, and make the forecast to
    publish."""
    return evaluate.evaluate_night(
        current_home(), dataset, decision, model, settings, upcoming=upcoming
    )


@step("publish", of="evaluation", module="forecasts.ledger", ignores=("now",))
def publish_forecast(evaluation: EvaluationReceipt, key: str, now: datetime) -> receipts.Receipt:
    """Put tonight's forecast into the ledger, once per key."""
    forecast = read_assessment(Path(evaluation.path)).forecast
    return Ledger(current_home().ledger).publish(LedgerEntry(evaluation.ticker, key, now, forecast))


@step(
    "log run",
    module="tracking.night_log",
    ignores=("now", "seconds", "flow_run_url"),
    task_run_name="log {done.dataset.ticker} {done.dataset.session}",
)
def log_run(
    done: night_log.StepReceipts, now: datetime, seconds: float, flow_run_url: str | None
) -> receipts.RunReceipt:
    """Draw the plots and log the night to MLflow under its key; while MLflow is away, the record
    waits."""
    return night_log.log_night(
        current_home(),
        done,
        now=now,
        seconds=seconds,
        flow_run_url=flow_run_url,
        pages=mlflow_pages(current_home()),
        missed=lambda error: get_run_logger().warning(
            "%s; until MLflow has it, the night is kept", error
        ),
    )


@step("promote", of="model", module="nights.promote", ignores=("now",))
def promote(
    model: ModelReceipt, run: receipts.RunReceipt, now: datetime
) -> receipts.PromotionReceipt:
    """Make the challenger champion if the gate said so, and let MLflow's alias follow."""
    verdict = read_night(Path(run.path)).verdict
    if verdict is None:
        raise InvalidFile(
            run.path,
            "expected the gate's verdict in a night's record, found none; run that night again",
        )
    receipt = promotion.promote(current_home(), model, run.key, run.model_version, verdict, at=now)
    logger = get_run_logger()
    logger.info("%s: %s", "promoted" if receipt.promoted else "not promoted", receipt.reason)
    if receipt.promoted and run.model_version:
        try:
            Tracking(current_home()).follow_champion(model.ticker, run.key)
        except TrackingUnavailable as error:
            logger.warning("MLflow's alias follows later: %s", error)
    return receipt
