"""What a command makes of its options; flows that it runs in its own process, with their news on
standard error."""

import signal
from datetime import UTC, datetime

import pytest
from prefect import flow, task
from typer import BadParameter

from deployments.cli.options import as_days, as_settings, as_time
from deployments.cli.runs import result_of
from flows.notices import notice


def test_settings_and_times_are_read_as_people_write_them():
    given = ["training.epochs=3", "training.learning_rate=1e-3"]
    given += ["network.units=[48, 48]", "network.cell=lstm"]
    assert as_settings(given) == {
        "training": {"epochs": 3, "learning_rate": 0.001},
        "network": {"units": [48, 48], "cell": "lstm"},
    }
    days = as_days(["model_days=030", "payload_days=0400"])
    assert days == {"model_days": 30, "payload_days": 400}, "not octal"
    evening = as_time("2026-11-20T22:45:00-05:00")
    assert evening == datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
    assert as_time("2026-11-20T10:00").tzinfo is UTC
    assert as_time("2026-11-20").time().isoformat() == "23:59:59"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_whoever_waits_is_told_what_our_own_code_logs(home, capfd):
    for quiet, told in ((False, "  no forecast of IBM\n"), (True, "")):
        result_of(notice, "no forecast of IBM", quiet=quiet)
        assert capfd.readouterr().err == told
    with pytest.raises(BadParameter):
        result_of(notice, ["no", "text"])


@task
def interrupted():
    signal.raise_signal(signal.SIGINT)


@flow(name="toy wait")
def toy_wait():
    interrupted()


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_ctrl_c_is_not_called_a_crash(home, capfd):
    with pytest.raises(KeyboardInterrupt):
        result_of(toy_wait)
    assert "Crash detected" not in capfd.readouterr().err
