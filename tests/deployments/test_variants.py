"""The Docker and Kubernetes variants name what exists: flows, variables that the work pools know,
the template."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deployments.registration import NIGHTS
from tests.support.kubernetes_template import base_job_template, prefects_own

PROJECT = Path(__file__).parents[2]
VARIANTS = {"docker": "prefect-docker", "kubernetes": "prefect-kubernetes"}


NO_RIGHTS = {"drop": ["ALL"]}


@pytest.mark.parametrize(("name", "package"), VARIANTS.items())
def test_deployments_use_variables_that_the_work_pool_knows_and_each_is_explained_and_no_secret(
    name, package
):
    text = (PROJECT / "deployments" / name / "prefect.yaml").read_text()
    content = yaml.safe_load(text)
    known = prefects_own(package, name)["variables"]["properties"]
    for deployment in content["deployments"]:
        assert deployment["work_pool"]["job_variables"].keys() <= known.keys()
        assert deployment["entrypoint"] == "flows/nightly.py:nightly"
        assert deployment["concurrency_limit"]["limit"] == 1
        assert NIGHTS in deployment["tags"], "by which `stockml up` tells of a night that failed"
    used = set(re.findall(r"\{\{ \$(\w+) \}\}", json.dumps(content)))
    assert used
    explained = re.findall(r"^#   ([A-Z_]+) ", text, re.MULTILINE)
    assert used | {"PREFECT_API_URL"} <= {*explained}
    assert not any("KEY" in variable for variable in used)


def test_the_base_job_template_is_prefects_own_with_state_and_secret():
    folder = PROJECT / "deployments/kubernetes"
    kept = json.loads((folder / "base-job-template.json").read_text())
    assert kept == base_job_template()
    pod = pod_of(kept)
    claim = yaml.safe_load((folder / "state.yaml").read_text())["metadata"]["name"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "stockml"}}]
    image = kept["variables"]["properties"]["image"]
    assert image["example"] == "stockml", "no night runs in Prefect's own image"


def pod_of(template):
    return template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]


def test_a_pod_can_write_to_its_claim_as_the_images_user_and_has_no_more_rights():
    """A fresh claim belongs to root. The template also states what a restricted namespace demands
    of every pod."""
    recipe, pod = (
        (PROJECT / "deployments/docker/Dockerfile").read_text(),
        pod_of(base_job_template()),
    )
    assert "--no-deps --require-hashes" in recipe
    assert "\nUSER stockml\n" in recipe
    [user] = map(int, re.findall(r"useradd .*--uid (\d+) stockml", recipe))
    ids = {"runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": True}
    ids["fsGroupChangePolicy"] = "OnRootMismatch"
    assert pod["securityContext"] == ids | {"seccompProfile": {"type": "RuntimeDefault"}}
    allowed = pod["containers"][0]["securityContext"]
    assert allowed["readOnlyRootFilesystem"], "a night writes to its claim and to /tmp"
    assert (allowed["allowPrivilegeEscalation"], allowed["capabilities"]) == (False, NO_RIGHTS)
    assert pod["automountServiceAccountToken"] is False, "a night asks nothing of the cluster"
