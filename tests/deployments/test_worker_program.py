"""What the worker does with a run before it starts: one that was scheduled for another state or code is refused."""

import ssl
from pathlib import Path

import pytest
from prefect.workers import process

from deployments.servers import worker_program
from deployments.servers.warm_run import ADDRESS
from stockml.errors import UnlikeWorker
from tasks.workplace import own_code


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> type[process.ProcessJobConfiguration]:
    monkeypatch.setattr(process.ProcessWorker, "job_configuration", process.ProcessJobConfiguration)
    worker_program._look_at_runs()
    return process.ProcessWorker.job_configuration


def prepared(configuration: type[process.ProcessJobConfiguration], **environ: str) -> process.ProcessJobConfiguration:
    from uuid import uuid4

    from prefect.client.schemas.objects import FlowRun

    run = configuration(env=dict(environ))
    run.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="IBM 2013-03-01"))
    return run


def test_a_run_of_another_state_or_code_is_refused_with_both_named(
    configuration: type[process.ProcessJobConfiguration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKML_STATE", "s3://mine")
    with pytest.raises(UnlikeWorker, match="STOCKML_STATE: expected s3://the-runs, found s3://mine"):
        prepared(configuration, STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    monkeypatch.delenv("STOCKML_STATE")
    with pytest.raises(UnlikeWorker, match="the code: expected 000000000000, found"):
        prepared(configuration, STOCKML_STATE="s3://the-runs", STOCKML_CODE="0" * 64)


def test_other_runs_are_started_warm_where_there_is_a_warm_server(
    configuration: type[process.ProcessJobConfiguration], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(configuration, STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    assert run.env["STOCKML_STATE"] == "s3://the-runs"
    assert "warm_run" not in str(run.command)
    monkeypatch.setenv(ADDRESS, "/somewhere")
    assert str(prepared(configuration).command).endswith("-m deployments.servers.warm_run")


def test_a_run_is_spared_what_its_worker_has_done_and_keeps_what_it_was_given(
    configuration: type[process.ProcessJobConfiguration], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / worker_program.CERTIFICATE).write_text(worker_program._any_certificate())
    monkeypatch.setenv(ADDRESS, str(tmp_path / "warm"))
    run = prepared(configuration, PREFECT_API_URL="http://127.0.0.1:4200/api")
    assert run.env["PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"] == "false"
    trusted = ssl.create_default_context(cafile=run.env["PREFECT_API_SSL_CERT_FILE"])
    assert len(trusted.get_ca_certs()) == 1
    elsewhere = prepared(configuration, PREFECT_API_URL="https://prefect.example.com/api")
    assert "PREFECT_API_SSL_CERT_FILE" not in elsewhere.env
    given = {"PREFECT_API_SSL_CERT_FILE": "/mine.pem", "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "true"}
    own = prepared(configuration, PREFECT_API_URL="http://127.0.0.1:4200/api", **given)
    assert {name: own.env[name] for name in given} == given
