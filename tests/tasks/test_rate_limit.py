"""Prefect's global limit spaces the requests of all machines of one server; without it nothing is waited for."""

import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from stockml.provider.quota import Plan
from tasks.provider import LIMIT, configure_rate_limit, wait_for_rate_limit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow
def three_requests() -> list[float]:
    """When each of three requests had its turn."""
    moments = []
    for _ in range(3):
        wait_for_rate_limit()
        moments.append(time.monotonic())
    return moments


def test_requests_wait_for_their_turn_once_the_server_keeps_turns() -> None:
    three_requests()
    configure_rate_limit(Plan.of({"ALPHAVANTAGE_PLAN": "60/min"}))
    configure_rate_limit(Plan.of({"ALPHAVANTAGE_PLAN": "60/min"}))
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(LIMIT)
    assert (limit.limit, limit.slot_decay_per_second) == (1, 1.0)
    first, _, last = three_requests()
    assert last - first > 1.0


@flow
def a_request_while_the_server_is_away() -> str:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        wait_for_rate_limit("never asked for before", return_s=0.1)
    return "asked"


def test_a_server_that_stays_away_keeps_nobody_from_asking() -> None:
    assert a_request_while_the_server_is_away() == "asked"
