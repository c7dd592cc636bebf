"""Prefect's server as it is kept here: tokens that outlive it, and writers that take their turn."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.servers.prefect_program import token_key
from stockml.home import Home
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S


@pytest.mark.slow
def test_a_page_that_was_open_may_change_things_once_the_server_is_started_again(home: Home) -> None:
    given = {}
    for name in ("before", "after"):
        with OwnServer.prefect(home).start() as server:
            api = f"{server.wait().address}/api"
            if not given:
                token = httpx.get(f"{api}/csrf-token", params={"client": "page"}, timeout=PATIENCE_S).json()["token"]
                given = {"Prefect-Csrf-Client": "page", "Prefect-Csrf-Token": token}
            made = httpx.post(f"{api}/flows/", json={"name": name}, headers=given, timeout=PATIENCE_S)
            assert made.status_code == 201, made.text


def test_a_key_is_kept_until_it_is_cut_short(tmp_path: Path) -> None:
    key = token_key(tmp_path)
    assert token_key(tmp_path) == key
    (tmp_path / "tokens.key").write_bytes(key[:5])
    assert len(token_key(tmp_path)) == len(key)
    assert not token_key(tmp_path).startswith(key[:5])


@pytest.mark.slow
def test_no_run_is_refused_because_others_are_at_work(home: Home) -> None:
    """What reads before it writes, as beginning a run does, waits for its turn; Prefect's client is not asked to."""
    people, each = 8, 12
    with OwnServer.prefect(home).start() as server:
        api = f"{server.wait().address}/api"

        def changed(by: str, path: str, **content: Any) -> httpx.Response:
            token = httpx.get(f"{api}/csrf-token", params={"client": by}, timeout=PATIENCE_S).json()["token"]
            allowed = {"Prefect-Csrf-Client": by, "Prefect-Csrf-Token": token}
            return httpx.post(f"{api}{path}", json=content, headers=allowed, timeout=PATIENCE_S)

        flow = changed("first", "/flows/", name="nightly").json()["id"]
        deployment = changed("first", "/deployments/", name="IBM", flow_id=flow).json()["id"]

        def begin(person: int) -> list[int]:
            path, state = f"/deployments/{deployment}/create_flow_run", {"type": "RUNNING"}
            return [changed(f"person-{person}", path, state=state).status_code for _ in range(each)]

        with ThreadPoolExecutor(people) as all_at_once:
            answers = Counter(status for found in all_at_once.map(begin, range(people)) for status in found)
    assert answers == {201: people * each}
