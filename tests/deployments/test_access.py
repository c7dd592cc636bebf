"""Access to the two pages: names, origins, password and a free port. The servers themselves:
test_servers_doors.py."""

import httpx
import pytest
from prefect import settings
from prefect.context import SyncClientContext

from deployments.servers.access import (
    Access,
    PasswordNeeded,
    PortTaken,
    check_port,
    fault_of_server,
)
from stockml.errors import InvalidSetting
from tests.support.own_servers import free_port

WORD = "secret-of-many-letters"
LOGIN = f"me:w:{WORD}"
PASSWORD = {"PREFECT_SERVER_API_AUTH_STRING": LOGIN}
OPEN = {"STOCKML_ADDRESS": "0.0.0.0", **PASSWORD}
TUNNEL = {"STOCKML_ALLOWED_HOSTS": "Stocks.example.org, box.lan:8443,"}


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({}, {"127.0.0.1", "localhost"}),
        ({"STOCKML_ADDRESS": "127.0.0.2"}, {"127.0.0.1", "127.0.0.2", "localhost"}),
        (TUNNEL, {"127.0.0.1", "localhost", "stocks.example.org", "box.lan"}),
        (OPEN, {"*"}),  # the password guards it
    ],
)
def test_a_server_answers_to_its_own_names_only(environ, hosts):
    assert {*Access.of(environ).hosts} == hosts


def test_only_the_servers_own_pages_may_send_it_requests():
    own = ["http://127.0.0.1:4200", "http://localhost:4200"]
    assert Access().origins(4200) == own
    named = [
        f"{scheme}://{name}"
        for name in ("stocks.example.org", "box.lan:8443")
        for scheme in ("http", "https")
    ]
    assert Access.of(TUNNEL).origins(4200) == [*own, *named]
    everywhere = Access.of(OPEN)
    others = [f"http://{host}:4200" for host in everywhere.elsewhere()]
    assert everywhere.origins(4200) == list(dict.fromkeys([*own, *others]))


def test_pages_that_other_machines_can_reach_need_a_password():
    environ = {"STOCKML_ADDRESS": "192.168.1.7"}
    with pytest.raises(PasswordNeeded, match="AUTH_STRING=user:password, or leave STOCKML_ADDRESS"):
        Access.of(environ)
    assert Access.of(environ | PASSWORD).address == "192.168.1.7"


@pytest.mark.parametrize(
    "environ",
    [
        {"STOCKML_ADDRESS": "everywhere"},
        {"STOCKML_ALLOWED_HOSTS": "*"},
        {"STOCKML_ALLOWED_HOSTS": "http://box.lan"},
        {"PREFECT_SERVER_API_AUTH_STRING": "secret"},
        {"PREFECT_SERVER_API_AUTH_STRING": "me:secret"},
        {"PREFECT_SERVER_API_AUTH_STRING": "me:sécret-of-many-letters"},
    ],
)
def test_an_invalid_setting_is_refused_by_name_without_its_secret(environ):
    with pytest.raises(InvalidSetting) as refused:
        Access.of(environ)
    assert next(iter(environ)) in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_worker_and_its_runs_are_given_the_password_which_is_not_shown():
    access = Access.of(PASSWORD)
    mlflows = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": f"w:{WORD}"}
    given = {"PREFECT_API_AUTH_STRING": LOGIN, **mlflows}
    assert (access.as_client(), Access().as_client()) == (given, {})
    assert WORD not in repr(access)


def test_a_taken_port_is_named_with_the_option_to_change_it(feed):
    port = int(feed.address.rpartition(":")[2])
    with pytest.raises(
        PortTaken, match=rf"expected port {port} to be free for MLflow.*--mlflow-port"
    ):
        check_port("MLflow", port, "--mlflow-port")
    check_port("MLflow", free_port(), "--mlflow-port")


@pytest.mark.parametrize("checks_version", [True, False])
def test_a_server_that_goes_away_under_a_command_is_named_and_no_unexpected_error(checks_version):
    """Of a failure to ask for its version, which comes first, Prefect's client makes an error of
    its own."""
    away = {settings.PREFECT_API_URL: "http://127.0.0.1:9/api"}
    checks = {settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: checks_version}
    with (
        settings.temporary_settings({**away, **checks}),
        pytest.raises(RuntimeError if checks_version else httpx.ConnectError) as failed,
        SyncClientContext() as within,
    ):
        within.client.read_flows()
    said = fault_of_server(failed.value) or ""
    assert said.startswith("expected an answer of a server, found none (")
