"""Print the base job template: Prefect's own for Kubernetes, with the state volume, its owner and
the secret added, no rights but those of a night, and the project's image as the example in its
form.

python -m tests.support.kubernetes_template > deployments/kubernetes/base-job-template.json
"""

import copy
import json
from importlib.resources import files
from typing import Any

_METADATA = ("collections_data", "views", "aggregate-worker-metadata.json")
USER = 1000  # the image's; a fresh claim is root's, and becomes the group's
OF_THE_POD = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
OF_THE_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def prefects_own(package: str, kind: str) -> dict[str, Any]:
    """The base job template that Prefect ships for a kind of work pool."""
    shipped = json.loads(files("prefect.server.api").joinpath(*_METADATA).read_text())
    template: dict[str, Any] = shipped[package][kind]["default_base_job_configuration"]
    return template


def base_job_template() -> dict[str, Any]:
    template = copy.deepcopy(prefects_own("prefect-kubernetes", "kubernetes"))
    template["variables"]["properties"]["image"]["example"] = "stockml"
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    claim = {"name": "state", "persistentVolumeClaim": {"claimName": "stockml-state"}}
    pod["volumes"] = [claim, {"name": "tmp", "emptyDir": {}}]
    pod["securityContext"] = OF_THE_POD
    pod["automountServiceAccountToken"] = False
    container = pod["containers"][0]
    container["securityContext"] = OF_THE_CONTAINER
    container["volumeMounts"] = [
        {"name": name, "mountPath": f"/{name}"} for name in ("state", "tmp")
    ]
    container["envFrom"] = [{"secretRef": {"name": "stockml"}}]
    return template


if __name__ == "__main__":
    print(json.dumps(base_job_template(), indent=2))
