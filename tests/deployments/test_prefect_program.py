"""Prefect's server as it is run here: tokens that outlive it, writers that wait their turn, and its page."""

import os
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import prefect
import pytest

from deployments.servers.prefect_program import token_key
from stockml.home import Home
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S


def test_the_token_key_is_kept_unless_it_was_cut_short(tmp_path: Path) -> None:
    key = token_key(tmp_path)
    assert token_key(tmp_path) == key
    (tmp_path / "tokens.key").write_bytes(key[:5])
    assert len(token_key(tmp_path)) == len(key)
    assert not token_key(tmp_path).startswith(key[:5])


@pytest.mark.slow
def test_a_restarted_server_knows_open_pages_and_refuses_nobody_for_being_busy(
    home: Home,
) -> None:
    """A request that reads before it writes, as starting a run does, waits its turn; Prefect's client is not needed."""
    people, each = 8, 12

    def changed(by: dict[str, str], path: str, **content: Any) -> httpx.Response:
        return httpx.post(f"{server.address}/api{path}", json=content, headers=by, timeout=PATIENCE_S)

    def page(name: str) -> dict[str, str]:
        """The headers that the page of this name sends with each change."""
        asked = httpx.get(f"{server.address}/api/csrf-token", params={"client": name}, timeout=PATIENCE_S)
        return {"Prefect-Csrf-Client": name, "Prefect-Csrf-Token": asked.json()["token"]}

    with OwnServer.prefect(home).start() as server:
        server.wait()
        open_before = page("first")
        flow = changed(open_before, "/flows/", name="nightly").json()["id"]
    with OwnServer.prefect(home).start() as server:
        server.wait()
        made = changed(open_before, "/deployments/", name="IBM", flow_id=flow)
        assert made.status_code == 201, made.text

        def begin(person: int) -> list[int]:
            path, state = f"/deployments/{made.json()['id']}/create_flow_run", {"type": "RUNNING"}
            return [changed(page(f"person-{person}"), path, state=state).status_code for _ in range(each)]

        with ThreadPoolExecutor(people) as all_at_once:
            answers = Counter(status for found in all_at_once.map(begin, range(people)) for status in found)
    assert answers == {201: people * each}


def test_the_page_is_kept_in_the_home_if_the_installation_belongs_to_another_user() -> None:
    """Prefect creates its page's files when it is first started, and has no page if it may not."""
    asked = """
        import os
        from deployments.servers.prefect_program import page_folder
        environ = {"PREFECT_HOME": "/home/prefect"}
        print(page_folder(environ | {"PREFECT_SERVER_UI_STATIC_DIRECTORY": "/mine"}), end=" ")
        os.geteuid() or os.setuid(65534)
        print(page_folder(environ), end="")
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(asked)], capture_output=True, text=True, check=True)
    own = os.geteuid() != 0 and os.access(Path(prefect.__file__).parent / "server", os.W_OK)
    assert ended.stdout == f"None {None if own else '/home/prefect/page'}"
