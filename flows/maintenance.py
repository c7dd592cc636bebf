"""Once a week: resume what waited, and remove what is old and not needed.

Ages are by the machine's own clock, even where STOCKML_CLOCK replays another day.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ParamSpec

from prefect import Task, flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import BeforeValidator, Field, create_model

from flows.form import NO_CHANGES, form_of
from stockml.errors import StockmlError
from stockml.maintenance.retention import RetentionSettings
from stockml.nights import states
from stockml.storage.os_errors import refused
from tasks import maintenance as steps
from tasks.artifacts import show_text
from tasks.maintenance import StepReport, markdown, summary

P = ParamSpec("P")

KeepForm = create_model(
    "RetentionSettings", __base__=form_of(RetentionSettings()), __doc__=RetentionSettings.__doc__
)
Keep = Annotated[KeepForm, BeforeValidator(lambda keep: keep or {})]


def run_name() -> str:
    return "maintenance, dry run" if flow_run.parameters.get("dry_run") else "maintenance"


@flow(name="maintenance", flow_run_name=run_name)
def maintenance(
    dry_run: bool = Field(
        False, description="Only list what would be removed, with its size in bytes"
    ),
    keep: Keep = Field(
        NO_CHANGES, description="Days to keep each kind; empty fields keep the usual number"
    ),
    mlflow_trash_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        30,
        description="Days for which removed runs can be restored from MLflow's trash (1 to 3,650)",
    ),
) -> State:
    """Resume what waited, and remove what is old and not needed.

    Never removes a champion or what a rollback needs, the ledger, the store, or a night that MLflow
    lacks. A step that cannot be done is reported and stops no other. The state carries the steps.
    """
    now, days = datetime.now(UTC), RetentionSettings(**keep.model_dump(exclude_none=True))
    reports = [
        *reports_of(steps.resume_what_waited, dry_run),
        *reports_of(steps.clear_folders, days, now, dry_run),
        *reports_of(steps.clear_mlflow, days, now, mlflow_trash_days, dry_run),
    ]
    line = summary(reports)
    show_text(markdown(reports, dry_run=dry_run), key="maintenance", description=line)
    get_run_logger().info("%s", line)
    name = states.WITH_FAILURES if any(step.failed for step in reports) else "Completed"
    return Completed(name=name, message=line, data=reports)


def reports_of(step: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> list[StepReport]:
    result = step(*args, return_state=True, **kwargs).result(raise_on_failure=False)
    if isinstance(result, StepReport):
        return [result]
    return result if isinstance(result, list) else [StepReport(step.name, failed=cause_of(result))]


def cause_of(fault: Any) -> str:
    """What kept a step from its work, with what to do about it."""
    return (
        refused(fault)
        if isinstance(fault, StockmlError | OSError)
        else f"{type(fault).__name__}: {fault}"
    )
