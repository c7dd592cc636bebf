"""Tickers, their deployments, and who is told of what."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

POOL = "stockml"  # the work pool of all deployments, and of the worker of `stockml up`
MANAGED = "tickers.yaml"  # the tag of the deployments made here; the runs of these are told of
# what a run does first: it works where this project lies
PULL_STEPS = [{"prefect.deployments.steps.set_working_directory": {"directory": str(Path(__file__).parents[2])}}]


@dataclass(frozen=True)
class Registered:
    """What was done so that Prefect agrees, by name."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{len(names)} {what}" for what, names in vars(self).items() if names) or "none"


def make_pool(client: "SyncPrefectClient") -> None:
    """The work pool, where there is none."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
