"""What requirements.lock says, read as `make` and pip read it."""

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
INSTALLED_FOR_TESTS = ("install", "run", "postgres", "dask", "test")


def locked(*sections: str) -> dict[str, str]:
    """Version of each package of these sections that this Python and platform need, by its
    canonical name."""
    text = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^# section: (\S+)\n((?:(?!# section: ).*\n)*)", text, re.M))
    lines = [line for name in sections for line in re.findall(r"^\S.*", parts[name], re.M)]
    asked = [Requirement(line.rstrip(" \\")) for line in lines]
    needed = [each for each in asked if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in needed}
