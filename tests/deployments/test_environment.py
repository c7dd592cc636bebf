"""What the servers are told by the environment, where what a person has set is left alone; and of
which releases they may be."""

from dataclasses import replace

import pytest

from deployments.servers import prefect_api
from deployments.servers.prefect_api import (
    WrongVersion,
    prefect_database,
    set_environment,
    settings_of,
)
from stockml.home import current_home as home_of


def test_what_the_person_has_set_is_left_alone(home):
    environ = {"PREFECT_HOME": "/elsewhere"}
    set_environment(home, environ)
    assert environ["PREFECT_HOME"] == "/elsewhere"
    assert environ["DO_NOT_TRACK"] == "true"
    assert (
        environ["PREFECT_API_DATABASE_CONNECTION_URL"]
        == f"sqlite+aiosqlite:///{home.prefect}/prefect.db"
    )
    assert "PREFECT_API_URL" not in environ


def test_the_password_of_this_homes_servers_is_sent_to_no_other(home):
    own = {"PREFECT_SERVER_API_AUTH_STRING": "me:secret"}
    assert settings_of(home, own)["PREFECT_API_AUTH_STRING"] == "me:secret"
    for environ in ({**own, "PREFECT_API_URL": "https://prefect.example/api"}, {}):
        assert "PREFECT_API_AUTH_STRING" not in settings_of(home, environ)


def test_one_address_puts_both_databases_on_postgresql():
    place = home_of({"STOCKML_DATABASE_URL": "postgresql://me:secret@db:5433"})
    assert prefect_database(place) == "postgresql+asyncpg://me:secret@db:5433/prefect"
    assert place.mlflow_database == "postgresql+psycopg://me:secret@db:5433/mlflow"


def test_a_command_asks_again_while_postgresql_restarts_and_of_a_full_disk_it_tells_at_once(home):
    name = "PREFECT_CLIENT_RETRY_EXTRA_CODES"
    assert settings_of(replace(home, database="me:secret@db:5433"))[name] == "500,504"
    assert name not in settings_of(home)


def test_one_outside_is_named_with_what_to_do(monkeypatch):
    found = {"prefect": "3.6.29", "mlflow": "3.17.2"}
    monkeypatch.setattr(prefect_api, "version", found.__getitem__)
    with pytest.raises(
        WrongVersion, match=r"expected prefect .+, found 3\.6\.29; install the versions of"
    ):
        prefect_api.check_versions()
