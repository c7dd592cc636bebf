"""`stockml up`, with SIGKILL for a run, for the worker with its run, and for either server during a
run.

By itself, and each time, the night is done once: one run in MLflow, one entry in the ledger.
"""

from datetime import timedelta

import psutil
import pytest

from deployments.registration.automations import install
from deployments.servers.prefect_api import prefect_api, unhealthy
from stockml.home import current_home as home_of
from tests.pages.prefect_session import up
from tests.pages.test_prefect_pages import LONG
from tests.support.night_process import standing
from tests.support.patience import until
from tests.support.prefect_server import EVERY_SECOND

pytestmark = pytest.mark.campaign
SILENCE = timedelta(seconds=45)  # a run sends a heartbeat every 30 s


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Both servers and a worker; a run is missed sooner than usual."""
    with up(
        tmp_path_factory.mktemp("home"), **EVERY_SECOND, PREFECT_WORKER_QUERY_SECONDS="1"
    ) as started:
        environ = {"STOCKML_HOME": str(started.home)}
        with prefect_api(home_of(environ), environ):
            install(environ, silence=SILENCE)
        yield started


def programs(running, words):
    """The programs of `stockml up` whose command has these words: one, or none until it is started
    again."""
    assert running.process
    children = psutil.Process(running.process.pid).children()
    return [
        each
        for each in children
        if each.status() != psutil.STATUS_ZOMBIE and words in " ".join(each.cmdline())
    ]


def kill(process):
    """SIGKILL to the process and its descendants at once, as when a container is out of memory."""
    for each in [process, *process.children(recursive=True)]:
        each.kill()


def in_training(running, ticker):
    """A night of the ticker, by the tutorial's deployment, in the middle of its training."""
    run_id = running.start("nightly/tutorial", ticker=ticker, settings=LONG)
    running.training(ticker)
    return running.run(run_id)


def done_once(running, ticker, run):
    """Wait for the run's end, check that it has left one of everything; return how often it
    began."""
    ended = running.until(run["id"], "Completed", "Failed", "Cancelled")
    assert ended["state_name"] == "Completed"
    found = standing(home_of({"STOCKML_HOME": str(running.home)}), ticker)
    assert [len(each) for each in (found.runs, found.versions, found.entries)] == [1, 1, 1]
    assert found.runs == tuple((key, "FINISHED") for key in found.entries)
    return int(ended["run_count"])


def test_a_run_that_is_killed_is_run_again(running):
    run = in_training(running, "AAPL")
    kill(psutil.Process(int(run["infrastructure_pid"].rpartition(":")[2])))
    assert done_once(running, "AAPL", run) == 2


def test_a_run_that_is_killed_with_its_worker_is_run_again_by_the_next(running):
    run, [worker] = in_training(running, "MSFT"), programs(running, "worker start")
    kill(worker)
    assert done_once(running, "MSFT", run) == 2
    assert [each.pid for each in programs(running, "worker start")] != [worker.pid]


@pytest.mark.parametrize(("words", "ticker"), [("prefect_app", "GOOG"), (" mlflow server", "IBM")])
def test_a_run_outlives_a_server_that_is_killed(running, words, ticker):
    run, [server] = in_training(running, ticker), programs(running, words)
    kill(server)
    until(lambda: [each for each in programs(running, words) if each.pid != server.pid])
    until(lambda: not unhealthy(f"{running.prefect}/api"), every_s=0.3)
    assert done_once(running, ticker, run) == 1
