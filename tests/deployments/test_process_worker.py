"""What the worker does with a run before it starts. Workers with runs: test_process_worker_runs.py."""

import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.utilities.processutils import command_from_string

from deployments.servers.process_worker import CERTIFICATE, ENTRYPOINT, WarmConfiguration, keep_certificate
from deployments.servers.warm_run import ADDRESS, COMMAND
from stockml.errors import WorkerMismatch
from stockml.home import current_home
from tasks.workplace import own_code
from tests.support.small_disk import files_of_at_most


def prepared(deployment: DeploymentResponse | None = None, **environ: str) -> WarmConfiguration:
    run = WarmConfiguration(env=dict(environ))
    run.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="IBM 2013-03-01"), deployment)
    return run


def test_our_worker_replaces_prefects_own_once_it_is_installed() -> None:
    code = """
        from prefect.workers.base import BaseWorker
        from deployments.servers import process_worker
        before = BaseWorker.get_worker_class_from_type("process")
        process_worker.install()
        after = BaseWorker.get_worker_class_from_type("process")
        print(before.__name__, after.__name__, after.type)
    """
    ran = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ProcessWorker", "WarmWorker", "process"]


def deployment_of(entrypoint: str, steps: Sequence[Mapping[str, Any]] = ()) -> DeploymentResponse:
    found = {"id": uuid4(), "name": "IBM", "flow_id": uuid4(), "entrypoint": entrypoint, "pull_steps": [*steps]}
    return DeploymentResponse.model_validate(found)


def test_a_run_with_another_state_or_code_is_refused_and_both_values_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_STATE", "s3://mine")
    with pytest.raises(WorkerMismatch, match="STOCKML_STATE: expected s3://the-runs, found s3://mine"):
        prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    monkeypatch.delenv("STOCKML_STATE")
    with pytest.raises(WorkerMismatch, match="the code: expected 0000"):
        prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE="0" * 64)


def test_other_runs_are_started_warm_if_there_is_a_warm_server(monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    assert run.env["STOCKML_STATE"] == "s3://the-runs"
    assert not run._command_configured, "by Prefect itself"
    monkeypatch.setenv(ADDRESS, "/somewhere")
    warm = prepared()
    assert (warm._command_configured, command_from_string(str(warm.command))) == (True, COMMAND)


def test_a_run_skips_what_its_worker_has_done_and_keeps_its_own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path))
    keep_certificate(current_home().prefect)
    run = prepared(PREFECT_API_URL="http://127.0.0.1:4200/api")
    assert run.env["PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"] == "false"
    assert run.env["PREFECT_API_SSL_CERT_FILE"] == str(current_home().prefect / CERTIFICATE)
    trusted = ssl.create_default_context(cafile=run.env["PREFECT_API_SSL_CERT_FILE"])
    assert len(trusted.get_ca_certs()) == 1
    elsewhere = prepared(PREFECT_API_URL="https://prefect.example.com/api")
    assert "PREFECT_API_SSL_CERT_FILE" not in elsewhere.env
    given = {"PREFECT_API_SSL_CERT_FILE": "/mine.pem", "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "true"}
    own = prepared(PREFECT_API_URL="http://127.0.0.1:4200/api", **given)
    assert {name: own.env[name] for name in given} == given


def test_a_worker_begins_on_a_full_disk_and_its_runs_then_load_all_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path))
    with files_of_at_most(0):
        keep_certificate(current_home().prefect)
    assert "PREFECT_API_SSL_CERT_FILE" not in prepared(PREFECT_API_URL="http://127.0.0.1:4200/api").env


def test_a_run_of_an_installed_module_is_told_where_its_flow_is() -> None:
    assert prepared(deployment_of("flows.nightly")).env[ENTRYPOINT] == "flows.nightly"
    assert prepared(deployment_of("flows.nightly"), **{ENTRYPOINT: "mine"}).env[ENTRYPOINT] == "mine"
    step = {"prefect.deployments.steps.set_working_directory": {"directory": "/elsewhere"}}
    for other in (deployment_of("flows/nightly.py:nightly"), deployment_of("flows.nightly", [step])):
        assert ENTRYPOINT not in prepared(other).env, "a deployment that fetches its code says where it is"
