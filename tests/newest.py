"""`make newest`: the quick tests and one night with the newest releases that pyproject.toml allows.

    python -m tests.newest

Its environment is made in a temporary folder. Prints what is newer than requirements.lock, and what
failed.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.version import Version

from tests.support.lock import INSTALLED_FOR_TESTS, PROJECT, locked

UV = [sys.executable, "-m", "uv", "--quiet"]
NOT_TRIED = {"gpu"}
QUICK = "not slow and not campaign"


def install(python: Path) -> None:
    """Resolve and install this checkout with its extras, the newest of everything."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ",".join(sorted(project["optional-dependencies"].keys() - NOT_TRIED))
    of_it = [
        "--python",
        str(python),
        "--upgrade",
        "uv",
        "setuptools>=80",
        "--editable",
        f".[{extras}]",
    ]
    subprocess.run([*UV, "pip", "install", *of_it], check=True)


def newer(python: Path) -> list[str]:
    """Each package that is newer than the lock's, as `httpx 0.28.1 -> 0.29.0`."""
    listed = subprocess.check_output(
        [*UV, "pip", "list", "--python", str(python), "--format", "json"]
    )
    found, before = (
        {each["name"]: each["version"] for each in json.loads(listed)},
        locked(*INSTALLED_FOR_TESTS),
    )
    return [
        f"{name} {before[name]} -> {version}"
        for name, version in sorted(found.items())
        if name in before and Version(version) > Version(before[name])
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="stockml-newest-") as folder:
        python = Path(folder) / "environment" / "bin" / "python"
        subprocess.run(
            [*UV, "venv", "--python", sys.executable, str(python.parents[1])], check=True
        )
        install(python)
        print("\n".join(["newer than the lock:", *newer(python)]), flush=True)
        tests = "tests/deployments/test_lock.py::test_the_environment_is_the_lock"
        tried = {
            "the quick tests": [
                "pytest",
                "-q",
                "-m",
                QUICK,
                "--numprocesses",
                "2",
                f"--deselect={tests}",
            ],
            "one night": ["deployments.cli", "nightly", "IBM"],
        }
        environ = {**os.environ, "STOCKML_HOME": f"{folder}/home"}
        commands = {what: [str(python), "-m", *command] for what, command in tried.items()}
        failed = [
            what
            for what, each in commands.items()
            if subprocess.run(each, cwd=PROJECT, env=environ, check=False).returncode
        ]
    print(f"failed: {', '.join(failed) or 'nothing'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
