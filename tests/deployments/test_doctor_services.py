"""What the doctor says of servers that answer and yet are not well."""

import json

from deployments.doctor import services
from stockml.home import Home
from tests.support.loopback import Loopback, whole


def test_a_database_that_was_removed_under_its_server_is_a_problem_whose_remedy_begins_with_the_server(
    home: Home,
) -> None:
    """MLflow writes on into the removed file, and `stockml rebuild-tracking` into another, which no page shows."""
    home.root.mkdir()
    with Loopback(whole(b"true")) as server:
        home.servers.write_text(json.dumps({"prefect_api": f"{server.address}/api", "mlflow": server.address}))
        check = services.mlflow(home)
    assert (check.verdict, f"{home.root}/mlflow.db was removed" in check.found) == ("problem", True)
    assert check.advice == "start `stockml up` again, then `stockml rebuild-tracking`"
    assert services.mlflow(home).verdict == "ok", "it is down, and there were no nights"


def test_answers_that_are_not_prefects_do_not_end_the_doctor(home: Home) -> None:
    home.root.mkdir()
    with Loopback(whole(b"true")) as server:
        home.servers.write_text(json.dumps({"prefect_api": f"{server.address}/api"}))
        told = list(services.told_by_prefect(home))
        assert (told, len(server.asked) > 2) == ([], True)
