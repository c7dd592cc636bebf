"""What the doctor says of servers that answer and yet are not well."""

import json

import pytest

from deployments.doctor import services
from stockml.code_version import in_words
from stockml.home import HomePaths
from tests.support.loopback import Exchange, Loopback


@pytest.mark.parametrize(
    ("status", "asks"), [(200, ", without a password"), (401, ", with a password"), (500, "")]
)
def test_whether_pages_that_are_up_ask_for_a_password_is_asked_of_them(
    home: HomePaths, status: int, asks: str
) -> None:
    """This shell's variables said "without" beside a server that had just refused the doctor for
    want of one."""

    def reply(exchange: Exchange) -> None:
        exchange.send(b"true", status if "/admin/" in exchange.path else 200)

    home.root.mkdir()
    with Loopback(reply) as server:
        up = {
            "prefect": server.address,
            "mlflow": "http://127.0.0.1:9",
            "prefect_api": f"{server.address}/api",
        }
        home.servers.write_text(json.dumps(up | {"address": "0.0.0.0", "version": in_words()}))
        [check] = services.pages(home, {}, {"Prefect": 4200})
        home.servers.write_text(json.dumps({"prefect_api": up["prefect_api"]}))
        assert not list(services.pages(home, {}, {"Prefect": 4200})), "a worker alone has no page"
    assert (check.verdict, check.found) == (
        "ok",
        f"{server.address}, http://127.0.0.1:9, on 0.0.0.0{asks}",
    )
    assert ("PREFECT_SERVER_API_AUTH_STRING" in check.advice) == (status == 200)


@pytest.mark.parametrize(
    ("began", "said"),
    [
        ({}, "an earlier version"),
        (
            {"version": "stockml 0.1.0 (code 0123abcd, commit 9)"},
            "stockml 0.1.0 (code 0123abcd, commit 9)",
        ),
        ({"version": in_words().partition(",")[0].rstrip(")") + ", commit 9)"}, None),
        # by a user whom git refuses the checkout
        (
            {"version": in_words().partition(",")[0].rstrip(")") + ")"},
            None,
        ),
    ],
)
def test_servers_that_were_started_before_an_upgrade_are_to_be_started_again(
    home: HomePaths, began: dict[str, str], said: str | None
) -> None:
    home.root.mkdir()
    with Loopback(lambda exchange: exchange.send(b"true")) as server:
        up = {"prefect": server.address, "prefect_api": f"{server.address}/api"}
        home.servers.write_text(json.dumps(up | began))
        _, *notes = services.pages(home, {}, {"Prefect": 4200})
    told = [
        f"note    code: `stockml up` runs {said}, this is {in_words()}; stop it and start it again"
    ]
    assert [str(note) for note in notes] == (told if said else [])
