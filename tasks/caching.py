"""How a step is cached: by its name, its code, and the content of its inputs; never by place or
time.

A result is a receipt, kept as JSON under `STOCKML_HOME/results`. When what it refers to is gone or
changed, the result is dropped and the step runs again. Two runs of one ticker never look at once:
each holds the ticker's lock.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.context import TaskRunContext
from prefect.results import ResultRecord
from pydantic import BaseModel

from stockml.code_version import NIGHT_PACKAGES, checkout, code_hash, files_hash
from stockml.home import current_home
from stockml.nights.night_key import evaluation_code, training_code
from stockml.storage.receipts import Receipt
from stockml.tracking.models import zipped_code

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
