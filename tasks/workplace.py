"""Where nights work: the home, the addresses and the code of one process, compared with those of another.

The path of a home says nothing on another machine: a file that is in it while a run lasts identifies the folder. Where
state is shared by address, each machine has a home of its own, and the address identifies the workplace.
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
HANDED_ON = ("STOCKML_ARTIFACTS", "AWS_ENDPOINT_URL", "ALPHAVANTAGE_PLAN", "ALPHAVANTAGE_URL")
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
    """This process's workplace; within the block, a file in the home's `locks` identifies the folder."""
    mark = home.locks / f"run-{secrets.token_hex(16)}.mark"
    home.locks.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield _found(home, mark.name)
    finally:
        mark.unlink(missing_ok=True)


def check(expected: WorkerEnvironment, home: HomePaths, worker: str) -> None:
    """Compare this process's workplace with the one that a run expects. Reads only. Raises WorkerMismatch."""
    found = _found(home, expected.mark)
    pairs = [("STOCKML_HOME", expected.home, found.home)]
    if expected.state and found.state:
        pairs = []
    elif expected.home == found.home and not os.path.exists(home.locks / expected.mark):
        pairs.append(("the folder that it names", "this run's", f"another of the same path, {found.home}"))
    pairs += [
        (STATE, expected.state or "none", found.state or "none"),
        ("the store", expected.store, found.store),
        ("MLflow", expected.tracking, found.tracking),
        ("the code", expected.code, found.code),
    ]
    _refuse_unlike(worker, pairs)


def _refuse_unlike(worker: str, pairs: Sequence[tuple[str, str, str]]) -> None:  # what it is, expected, found
    if differences := tuple(pair for pair in pairs if pair[1] != pair[2]):
        raise WorkerMismatch(worker, differences)


def _found(home: HomePaths, mark: str) -> WorkerEnvironment:
    root, given = str(home.root), (home.state or "", home.store, home.tracking_uri)
    # the home by name, not path: if it differs, that is told once
    state, store, tracking = (USER.sub("", each).partition("?")[0].replace(root, "STOCKML_HOME") for each in given)
    return WorkerEnvironment(root, mark, state, store, tracking, own_code())


@cache
def own_code() -> str:
    """As this process first found it: what is changed on disk later, its nights do not run."""
    return f"{sources_hash(*NIGHT_PACKAGES)[:12]} with {' '.join(number_libraries())}"


def worker_variables(home: HomePaths, environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker elsewhere takes over from where its runs were scheduled; nothing if the home is the state."""
    if home.state is None:
        return {}
    given = {name: environ[name] for name in HANDED_ON if environ.get(name)}
    return {**given, STATE: environ[STATE].rstrip("/"), CODE_OF: own_code()}


def check_scheduled(scheduled: Mapping[str, str], environ: Mapping[str, str], worker: str) -> None:
    """Compare a worker's environment and code with those of its run. Raises WorkerMismatch."""
    state = scheduled.get(STATE, "")
    own_state = environ.get(STATE, "").rstrip("/") or state
    code = ("the code", scheduled.get(CODE_OF, "none")[:200], own_code.__wrapped__())  # runs are new processes
    _refuse_unlike(worker, [(STATE, state[:200], own_state[:200]), code])
