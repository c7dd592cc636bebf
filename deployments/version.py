"""What the program says of its own version, for who reports a fault: a release's number is that of many commits."""

import hashlib
from importlib.metadata import version
from pathlib import Path

from stockml.code_version import NIGHT_PACKAGES, checkout


def told() -> str:
    """The version, a hash of the sources as they stand on this disk, and in a checkout the commit."""
    digest = hashlib.sha256()
    for folder in (*NIGHT_PACKAGES, Path(__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    commit, changes = checkout()
    of_commit = f", commit {commit[:12]}{' with changes' if changes else ''}" if commit else ""
    return f"stockml {version('stockml')} (code {digest.hexdigest()[:8]}{of_commit})"
