"""How a step is cached: by its name, its code, and the content of what it was handed; never by where or when.

A result is a receipt, kept as JSON under `STOCKML_HOME/results`. Before a cached receipt is trusted, what it speaks of
is looked at: when that is gone or changed, the result is forgotten and the step runs again.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock, Timeout
from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.locking.protocol import LockManager
from prefect.results import ResultRecord
from prefect.transactions import IsolationLevel
from pydantic import BaseModel

from stockml.code_version import code_hash
from stockml.home import home
from stockml.storage.receipts import Receipt

P = ParamSpec("P")
R = TypeVar("R")


class ProcessLocks(LockManager):
    """Locks of the operating system: a process that is killed holds nothing any more."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], FileLock] = {}

    def _lock(self, key: str) -> FileLock:
        folder = home().locks / "results"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock", thread_local=False)

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for the lock; `hold_timeout` has no use here, the lock ends with its process at the latest."""
        if (key, holder) in self._held:
            return True
        lock = self._lock(key)
        try:
            lock.acquire(timeout=-1 if acquire_timeout is None else acquire_timeout)
        except Timeout:
            return False
        self._held[key, holder] = lock
        return True

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        return self.acquire_lock(key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        if lock := self._held.pop((key, holder), None):
            lock.release()

    def is_locked(self, key: str) -> bool:
        if any(held == key for held, _ in self._held):
            return True
        return not self.wait_for_lock(key, timeout=0)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return (key, holder) in self._held

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        try:
            with self._lock(key).acquire(timeout=-1 if timeout is None else timeout):
                return True
        except Timeout:
            return False

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return self.wait_for_lock(key, timeout)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ProcessLocks":
        """One object for all copies of a policy: the held locks are the process's, not the copy's."""
        return self


@dataclass
class ContentPolicy(CachePolicy):
    """The key of a step: its name, the source of the stockml `modules` it uses, and its inputs by content.

    Inputs that are named `aside` (the clock, say) do not count. `code` hashes the modules.
    """

    isolation_level: IsolationLevel | None = IsolationLevel.SERIALIZABLE
    lock_manager: LockManager | None = field(default_factory=ProcessLocks)
    modules: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    salt: Callable[[dict[str, Any]], str] | None = None
    code: Callable[..., str] = code_hash

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        name = task_ctx.task.name
        content = {argument: identity(value) for argument, value in inputs.items() if argument not in self.aside}
        if self.salt:
            content["salt"] = self.salt(inputs)
        text = json.dumps([name, self.code(*self.modules), content], sort_keys=True)
        key = f"{name.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
        forget_unless_intact(home().results / key)
        return key


def identity(value: Any) -> Any:
    """What of an input counts for the key, as plain JSON."""
    if isinstance(value, Receipt):
        return [type(value).__name__, *value.identity()]
    if (is_dataclass(value) and not isinstance(value, type)) or isinstance(value, BaseModel):
        return {name: identity(part) for name, part in vars(value).items()}
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [identity(part) for part in value]
    if isinstance(value, dict):
        return {str(name): identity(part) for name, part in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"expected a receipt, a setting or plain data as a step's input, found {type(value).__name__}")


def forget_unless_intact(record: Path) -> None:
    """Remove a kept result whose receipt no longer holds, or that cannot be read; the step then runs again."""
    try:
        result: object = ResultRecord.deserialize(record.read_bytes()).result
    except FileNotFoundError:
        return
    except Exception:  # noqa: BLE001 - whatever is wrong with a kept result, the cure is to compute it again
        result = None
    if not (isinstance(result, Receipt) and result.intact()):
        record.unlink(missing_ok=True)


def step(
    name: str,
    *,
    modules: tuple[str, ...],
    of: str | None = None,
    aside: tuple[str, ...] = (),
    salt: Callable[[dict[str, Any]], str] | None = None,
    **options: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that is cached by content. `modules` are the stockml modules that do its work.

    `of`: the input whose ticker and session name the run. Inputs that are named `aside` do not count; `salt` names,
    from the inputs, what the work depends on beside them. `options` are Prefect's, such as retries.
    """
    if of:
        options["task_run_name"] = f"{name} {{{of}.ticker}} {{{of}.session}}"
    return task(
        name=name,
        cache_policy=ContentPolicy(modules=modules, aside=aside, salt=salt),
        persist_result=True,
        result_serializer="json",
        **options,
    )


def with_home_storage(cached: Task[P, R], *, force: bool = False) -> Task[P, R]:
    """The step with its results under STOCKML_HOME, whatever the process was started with; `force` computes anew."""
    return cached.with_options(result_storage=home().results, refresh_cache=force)
