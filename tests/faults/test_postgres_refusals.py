"""A PostgreSQL server that refuses the password, or is away: each is called what it is, and no
password is shown."""

import json
from collections.abc import Iterator

import pytest

from deployments.cli.app import run
from stockml.home import HomePaths
from tests.support.commands import Captured, stockml
from tests.support.loopback import Loopback, silent
from tests.support.own_servers import free_port
from tests.support.postgres_server import create_databases, needs_postgres, postgres_server

pytestmark = [pytest.mark.campaign, needs_postgres]
RIGHT, WRONG = "r1ght", "wr0ng"
REFUSED = 'FATAL:  password authentication failed for user "stockml"'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address, without a password, of a server that asks for one."""
    with postgres_server(tmp_path_factory.mktemp("postgres"), RIGHT) as address:
        create_databases(address.replace("@", f":{RIGHT}@"), "prefect", "mlflow")
        yield address


def checks(capsys: Captured) -> dict[str, tuple[str, str]]:
    run(["doctor", "--json"])
    return {
        each["name"]: (each["verdict"], each["found"])
        for each in json.loads(capsys.readouterr().out)["checks"]
    }


def test_the_doctor_tells_a_password_that_is_accepted_from_one_that_is_not(
    guarded: str, home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = guarded.partition("@")[2]
    for given, verdict, says in (
        (f":{RIGHT}", "ok", f"{place}/mlflow answers"),
        (f":{WRONG}", "problem", REFUSED),
        ("", "problem", "no password supplied"),
    ):
        monkeypatch.setenv("STOCKML_DATABASE_URL", guarded.replace("@", f"{given}@"))
        found = checks(capsys)
        assert (found["MLflow"][0], says in found["MLflow"][1]) == (verdict, True), found["MLflow"]
        assert not any(secret in str(found) for secret in (RIGHT, WRONG))


def test_a_server_that_never_answers_is_told_in_seconds(
    home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(silent) as server:
        address = server.address.replace("http://", f"postgresql://me:{RIGHT}@")
        monkeypatch.setenv("STOCKML_DATABASE_URL", address)
        assert checks(capsys)["MLflow"][0] == "problem"


@pytest.mark.parametrize("command", ["nightly IBM", "maintenance --dry-run", "up"])
def test_a_command_says_that_the_password_was_refused(
    guarded: str, home: HomePaths, command: str
) -> None:
    own = {"STOCKML_PREFECT_PORT": str(free_port()), "STOCKML_MLFLOW_PORT": str(free_port())}
    ended = stockml(
        *command.split(), STOCKML_DATABASE_URL=guarded.replace("@", f":{WRONG}@"), **own
    )
    assert ended.returncode == 1, ended
    assert f"{REFUSED.replace('  ', ' ')}; check STOCKML_DATABASE_URL" in ended.stderr
    assert WRONG not in ended.stdout + ended.stderr
