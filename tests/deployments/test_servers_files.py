"""Files for one's own server: compose.yaml fits its schema, its commands run as written, the
systemd unit is valid.

compose-spec.json is the schema of github.com/compose-spec/compose-spec (Apache-2.0), without its
descriptions.
"""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from deployments.servers.access import PASSWORD, Access

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
SCHEMA = Path(__file__).with_name("compose-spec.json")


def compose():
    """The file, with the defaults of the variables that it takes from deployments/.env."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", (DEPLOYMENTS / "compose.yaml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_compose_fits_its_schema():
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(compose())


def test_every_service_is_restarted_and_checked_gains_no_rights_and_contains_no_secret():
    file = compose()
    for service in file["services"].values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service["secrets"]) <= set(file["secrets"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        secret = [name for name in service["environment"] if re.search("KEY|PASSWORD|AUTH", name)]
        assert all(name.endswith("_FILE") for name in secret)
    assert all(set(secret) == {"file"} for secret in file["secrets"].values())
    ours = file["services"]["stockml"]
    assert (ours["cap_drop"], ours["read_only"], ours["tmpfs"]) == (["ALL"], True, ["/tmp"])


def test_secrets_are_made_as_the_header_says_where_they_are_read_and_git_ignores_them(tmp_path):
    """Each is readable by the containers' user whatever the umask, and its folder by nobody
    else."""
    text, folder = (DEPLOYMENTS / "compose.yaml").read_text(), tmp_path / "secrets"
    once = text.partition("Once, in the project's folder:\n#\n")[2].partition("\n#\n")[0]
    lines = "\n".join(line.removeprefix("#   ") for line in once.splitlines())
    command = ["sh", "-euc", f"umask 077\n{lines}"]
    subprocess.run(command, input=b"K3Y12345\n", cwd=tmp_path, timeout=60, check=True)
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert made == dict.fromkeys(compose()["secrets"], 0o644)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "alphavantage-api-key").read_text() == "K3Y12345\n"
    assert Access.of({PASSWORD: (folder / "pages-password").read_text().strip()}).password
    assert "secrets/" in (DEPLOYMENTS.parent / ".gitignore").read_text().split()


def test_the_systemd_unit_is_valid(tmp_path):
    """By systemd's own check if it is installed; only the program's path is replaced."""
    unit = (DEPLOYMENTS / "systemd" / "stockml.service").read_text()
    [command] = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    assert command.endswith("/stockml up")
    restored_into = re.findall(r"install --directory --owner stockml --mode 700 (.*)", unit)
    assert restored_into == re.findall(r"Environment=STOCKML_HOME=(.*)", unit)
    here = tmp_path / "stockml.service"
    here.write_text(unit.replace(command.removesuffix(" up"), shutil.which("true") or "/bin/true"))
    if checker := shutil.which("systemd-analyze"):
        verified = [checker, "verify", here]
        checked = subprocess.run(verified, capture_output=True, text=True, check=False)
        assert (checked.returncode, "stockml.service" in checked.stderr) == (0, False)
