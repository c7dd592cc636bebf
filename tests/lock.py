"""`make lock`: choose every package anew and write requirements.lock, which alone says what is
installed.

One resolution serves all. The section of an extra holds what it needs beyond the sections `install`
and `run`.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

LOCK = Path("requirements.lock")
HEAD = (
    "# Every package that `make` installs, with its hashes, for Python 3.11 to 3.13. "
    "`make lock` writes it anew.\n"
)
TOOLS = "install"  # what installs the rest
ALWAYS = (TOOLS, "run")


def compiled(folder: Path, name: str, *arguments: str) -> str:
    """The output of `uv pip compile`, kept in the folder as `name`."""
    file = folder / name
    uv = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
    ]
    plain = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    subprocess.run(
        [*uv, *plain, *arguments, "--output-file", str(file)], check=True, stdout=subprocess.DEVNULL
    )
    return file.read_text(encoding="utf-8")


def entries(requirements: str) -> list[str]:
    """Each package with its version, marker and hashes."""
    return re.findall(r"^[^\s#].*(?:\n +.*)*\n", requirements, re.M)


def sectioned(parts: Sequence[tuple[str, str]]) -> str:
    """Join named requirements into one file, without what the sections before that are always
    installed hold."""
    text, always = HEAD, set[str]()
    for name, requirements in parts:
        new = [entry for entry in entries(requirements) if entry not in always]
        if name in ALWAYS:
            always.update(new)
        text += f"# section: {name}\n{''.join(new)}"
    return text


def main() -> None:
    """Write the lock. Raises CalledProcessError, after uv has said why."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        tools = folder / "tools.in"
        tools.write_text("uv\nsetuptools>=80\n", encoding="utf-8")
        compiled(folder, "all.txt", "pyproject.toml", str(tools), "--all-extras", "--upgrade")
        chosen = ("--constraint", str(folder / "all.txt"))
        parts = [(TOOLS, compiled(folder, "tools.txt", str(tools), *chosen))]
        parts.append((ALWAYS[1], compiled(folder, "run.txt", "pyproject.toml", *chosen)))
        for extra in project["optional-dependencies"]:
            asked = ("pyproject.toml", "--extra", extra)
            parts.append((extra, compiled(folder, f"{extra}.txt", *asked, *chosen)))
    LOCK.write_text(sectioned(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
