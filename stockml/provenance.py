"""Which code is running, as git sees it; nothing when it does not run from a checkout."""

import hashlib
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent


def git_commit() -> str | None:
    """The checked-out commit."""
    return _git("rev-parse", "HEAD")


def git_diff() -> str | None:
    """SHA-256 of the tracked changes that are not committed; None for a clean checkout."""
    changes = _git("diff", "HEAD", "--no-ext-diff")
    return hashlib.sha256(changes.encode()).hexdigest() if changes else None


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(FOLDER), *arguments]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
