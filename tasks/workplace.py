"""Where nights run: the home, addresses and code of one process, compared with another's.

A home's path means nothing on another machine: a file that is in it during the run identifies the folder. Where state
is shared by address, each machine has its own home, and the address identifies the environment.
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from stockml.code_version import NIGHT_PACKAGES, number_libraries, sources_hash
from stockml.errors import WorkerMismatch
from stockml.home import HomePaths

STATE, CODE_OF = "STOCKML_STATE", "STOCKML_CODE"
USER = re.compile(r"(?<=//)[^/]*@")


@dataclass(frozen=True)
class WorkerEnvironment:
    """What a night finds in its process. Addresses are without users and passwords, as messages show them."""

    home: str
    mark: str
    state: str
    store: str
    tracking: str
    code: str


@contextmanager
def identified_worker(home: HomePaths) -> Iterator[WorkerEnvironment]:
    """This process's environment; within the block, a file in `locks` identifies the home's folder."""
    mark = home.locks / f"run-{secrets.token_hex(16)}.mark"
    home.locks.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield _environment_of(home, mark.name)
    finally:
        mark.unlink(missing_ok=True)


def check(expected: WorkerEnvironment, home: HomePaths, worker: str) -> None:
    """Compare this process's environment with the one a run expects. Reads only. Raises WorkerMismatch."""
    found = _environment_of(home, expected.mark)
    comparisons = [("STOCKML_HOME", expected.home, found.home)]
    if expected.state and found.state:
        comparisons = []
    elif expected.home == found.home and not os.path.exists(home.locks / expected.mark):
        comparisons.append(("the folder that it names", "this run's", f"another of the same path, {found.home}"))
    comparisons += [
        (STATE, expected.state or "none", found.state or "none"),
        ("the store", expected.store, found.store),
        ("MLflow", expected.tracking, found.tracking),
        ("the code", expected.code, found.code),
    ]
    _refuse_unlike(worker, comparisons)


def _refuse_unlike(worker: str, comparisons: Sequence[tuple[str, str, str]]) -> None:  # what it is, expected, found
    if differences := tuple(comparison for comparison in comparisons if comparison[1] != comparison[2]):
        raise WorkerMismatch(worker, differences)


def _environment_of(home: HomePaths, mark: str) -> WorkerEnvironment:
    root, addresses = str(home.root), ("", str(home.store), home.tracking_uri)
    # the home by name, not path: a difference is reported once
    state, store, tracking = (USER.sub("", each).partition("?")[0].replace(root, "STOCKML_HOME") for each in addresses)
    return WorkerEnvironment(root, mark, state, store, tracking, own_code())


@cache
def own_code() -> str:
    """The code that this process imported: its nights do not run what changes later."""
    return f"{sources_hash(*NIGHT_PACKAGES)[:12]} with {' '.join(number_libraries())}"


def worker_variables(home: HomePaths, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker elsewhere gets with its runs; none without shared state."""
    return {}


def check_scheduled(scheduled: Mapping[str, str], environ: Mapping[str, str], worker: str) -> None:
    """Compare a worker's environment and code with those of its run. Raises WorkerMismatch."""
    state = scheduled.get(STATE, "")
    own_state = environ.get(STATE, "").rstrip("/") or state
    code = ("the code", scheduled.get(CODE_OF, "none")[:200], own_code.__wrapped__())  # runs are new processes
    _refuse_unlike(worker, [(STATE, state[:200], own_state[:200]), code])
