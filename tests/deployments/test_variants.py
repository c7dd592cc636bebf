"""The Docker and Kubernetes variants name what exists: flows, variables that the work pools know,
the template."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.registration import NIGHTS
from tests.support.kubernetes_template import base_job_template, prefects_own

PROJECT = Path(__file__).parents[2]
VARIANTS = [
    ("docker", "prefect-docker", "docker"),
    ("kubernetes", "prefect-kubernetes", "kubernetes"),
]


def variant(name: str) -> tuple[str, dict[str, Any]]:
    text = (PROJECT / "deployments" / name / "prefect.yaml").read_text()
    return text, yaml.safe_load(text)


@pytest.mark.parametrize(("name", "package", "kind"), VARIANTS)
def test_deployments_use_variables_that_the_work_pool_knows(
    name: str, package: str, kind: str
) -> None:
    known = prefects_own(package, kind)["variables"]["properties"]
    for deployment in variant(name)[1]["deployments"]:
        assert set(deployment["work_pool"]["job_variables"]) <= set(known)
        assert (PROJECT / deployment["entrypoint"].partition(":")[0]).is_file()
        assert (deployment["entrypoint"], deployment["concurrency_limit"]["limit"]) == (
            "flows/nightly.py:nightly",
            1,
        )
        assert NIGHTS in deployment["tags"], "by which `stockml up` tells of a night that failed"


@pytest.mark.parametrize(("name", "package", "kind"), VARIANTS)
def test_every_variable_is_explained_and_no_secret_is_among_them(
    name: str, package: str, kind: str
) -> None:
    text, content = variant(name)
    used = set(re.findall(r"\{\{ \$(\w+) \}\}", json.dumps(content)))
    explained = set(re.findall(r"^#   ([A-Z_]+) ", text, re.MULTILINE))
    assert used
    assert used | {"PREFECT_API_URL"} <= explained
    assert not any("KEY" in variable for variable in used)


def test_the_base_job_template_is_prefects_own_with_state_and_secret() -> None:
    kept = json.loads((PROJECT / "deployments/kubernetes/base-job-template.json").read_text())
    assert kept == base_job_template()
    pod = kept["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    claim = yaml.safe_load((PROJECT / "deployments/kubernetes/state.yaml").read_text())["metadata"][
        "name"
    ]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "stockml"}}]
    assert kept["variables"]["properties"]["image"]["example"] == "stockml", (
        "no night runs in Prefect's own image"
    )


def test_a_pod_can_write_to_its_claim_as_the_images_user() -> None:
    """A fresh claim belongs to root. The template also states what a restricted namespace demands
    of every pod."""
    pod = base_job_template()["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (user,) = re.findall(
        r"useradd .*--uid (\d+) stockml", (PROJECT / "deployments/docker/Dockerfile").read_text()
    )
    about = pod["securityContext"]
    assert [about[name] for name in ("runAsUser", "runAsGroup", "fsGroup")] == [int(user)] * 3
    assert (about["runAsNonRoot"], about["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    allowed = pod["containers"][0]["securityContext"]
    assert allowed.pop("readOnlyRootFilesystem"), "a night writes to its claim and to /tmp"
    assert allowed == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False, "a night asks nothing of the cluster"


def test_the_image_installs_by_hashes_and_runs_as_its_own_user() -> None:
    recipe = (PROJECT / "deployments/docker/Dockerfile").read_text()
    assert "--no-deps --require-hashes" in recipe
    assert "\nUSER stockml\n" in recipe
