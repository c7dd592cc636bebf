"""One key's requests in turn, across machines: Prefect's global limit, beside the ledger that spaces one machine's."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectAlreadyExists

from stockml.quota import Plan

LIMIT = "alphavantage"


def in_turn() -> None:
    """Wait for this request's slot; where the server knows no such limit there is nothing to wait for."""
    rate_limit(LIMIT, strict=False)


def keep_turns(plan: Plan) -> None:
    """Let the server hand out the plan's requests a minute, one slot at a time. To be called by who runs a server."""
    per_second = plan.requests_per_minute / 60
    wanted = {"limit": max(1, int(per_second)), "slot_decay_per_second": per_second}
    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, **wanted))
        except ObjectAlreadyExists:
            client.update_global_concurrency_limit(LIMIT, GlobalConcurrencyLimitUpdate(**wanted))
