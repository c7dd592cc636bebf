"""One key's requests in turn, across machines: Prefect's global limit, beside the ledger that spaces one machine's."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_run_logger
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from stockml.provider.quota import Plan

LIMIT = "alphavantage"
RETURN_S = 60.0  # a server that is restarted is back by then


def wait_for_rate_limit(limit: str = LIMIT, return_s: float = RETURN_S) -> None:
    """Wait for this request's slot; where the server knows no such limit there is nothing to wait for.

    A server that is being restarted is waited for, up to `return_s`. One that stays away keeps nobody from asking: the
    ledger still spaces this machine's requests.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(ConcurrencySlotAcquisitionError),
        wait=wait_fixed(1),
        stop=stop_after_delay(return_s),
        retry_error_callback=_unspaced,
    )
    attempts(rate_limit, limit, strict=False)


def _unspaced(attempts: RetryCallState) -> None:
    get_run_logger().warning("Prefect cannot be reached: this request is spaced on this machine alone")


def configure_rate_limit(plan: Plan) -> None:
    """Let the server hand out the plan's requests a minute, one slot at a time. To be called by who runs a server."""
    per_second = plan.requests_per_minute / 60
    slots = max(1, int(per_second))
    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=LIMIT, limit=slots, slot_decay_per_second=per_second)
            )
        except ObjectAlreadyExists:
            client.update_global_concurrency_limit(
                LIMIT, GlobalConcurrencyLimitUpdate(limit=slots, slot_decay_per_second=per_second)
            )
