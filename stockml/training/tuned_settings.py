"""A ticker's settings file: what tuning found, and what its nights then use. Cheap to import."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stockml.errors import InvalidFile, InvalidSetting
from stockml.home import Home
from stockml.settings import settings_for
from stockml.storage.files import write_atomically

PROFILE = "nightly"  # the profile whose settings are searched; the tutorial's are the published ones


def path_of(home: Home, ticker: str) -> Path:
    return home.settings / f"{ticker}.json"


def tuned_settings(home: Home, ticker: str, profile: str = PROFILE) -> dict[str, Any]:
    """The ticker's tuned settings as dotted overrides of the profile; none for a ticker that was not tuned.

    Raises InvalidFile, naming the file, when it is not readable or not valid.
    """
    path = path_of(home, ticker)
    if profile != PROFILE or not path.exists():
        return {}
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text())["settings"])
        settings_for(PROFILE, found)
    except (OSError, ValueError, KeyError, TypeError, InvalidSetting) as error:
        raise InvalidFile(str(path), f"expected tuned settings, found {error}; correct or remove the file") from error
    return found


def write_tuned_settings(home: Home, ticker: str, settings: Mapping[str, Any], found: Mapping[str, Any]) -> Path:
    """Write the ticker's settings file: dotted overrides, and beside them how they were found."""
    path = path_of(home, ticker)
    content = {"ticker": ticker, "profile": PROFILE, "settings": dict(settings), "found": dict(found)}
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
    return path
