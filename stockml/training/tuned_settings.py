"""What tuning found: its finished trials, and a ticker's settings file, which its nights then use.
Cheap to import."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from stockml.errors import InvalidFile, InvalidSetting, quantity
from stockml.home import HomePaths
from stockml.settings import settings_for
from stockml.storage.files import write_atomically

PROFILE = "tutorial"  # the only profile that is tuned; the nightly one is pretrained
State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.  losses: by epoch.  loss: the lowest, if it is complete.  best: the lowest
    of all so far.

    last_value_loss: that of "the price stays" from the same starts.
    """

    ticker: str
    study: str
    number: int
    of: int
    state: State
    settings: Mapping[str, Any]
    losses: tuple[float, ...]
    loss: float | None
    best: float | None
    began: datetime
    seconds: float
    last_value_loss: float


def path_of(home: HomePaths, ticker: str) -> Path:
    return home.settings / f"{ticker}.json"


def tuned_settings(home: HomePaths, ticker: str, profile: str = PROFILE) -> dict[str, Any]:
    """The ticker's tuned settings as dotted overrides, empty where the profile has none.  Raises
    InvalidFile."""
    path = path_of(home, ticker)
    if profile != PROFILE or not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        checksum = content.pop("crc32", None)
        # without it a bit flipped in the name `crc32` would pass
        known = {"ticker", "profile", "settings", "found"}
        if checksum not in (None, _crc32(content)) or not content.keys() <= known:
            raise ValueError("damage, or a change by hand (take its line `crc32` out to keep that)")
        # an earlier version tuned a nightly network of the ticker's own
        if content["profile"] != profile:
            return {}
        settings: dict[str, Any] = dict(content["settings"])
        settings_for(PROFILE, settings)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        InvalidSetting,
    ) as error:
        way_back = "restore it from a backup, correct it or remove it"
        raise InvalidFile(
            str(path), f"expected tuned settings, found {error}; {way_back}"
        ) from error
    return settings


def other_search(home: HomePaths, ticker: str, study: str) -> str:
    """A clause on the search that found the ticker's settings; empty if it is this study, or there
    is none."""
    found = (
        json.loads(path_of(home, ticker).read_text()).get("found", {})
        if tuned_settings(home, ticker)
        else {}
    )
    if found.get("study", study) == study:
        return ""
    trials, loss = quantity(found["trials"], "trial"), found["validation_loss"]
    return (
        f"; replaces the settings of another search, whose repetition brings them back: {trials}, "
        f"loss {loss:.5f}"
    )


def write_tuned_settings(
    home: HomePaths, ticker: str, settings: Mapping[str, Any], search: Mapping[str, Any]
) -> Path:
    """Write dotted overrides, and the search's figures.  Raises InvalidFile, writing nothing, over
    a damaged file."""
    tuned_settings(home, ticker)
    path = path_of(home, ticker)
    content = {
        "ticker": ticker,
        "profile": PROFILE,
        "settings": dict(settings),
        "found": dict(search),
    }
    content["crc32"] = _crc32(content)
    write_atomically(
        path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    )
    return path


def _crc32(content: Mapping[str, Any]) -> str:
    """CRC-32 of the content, however it is laid out."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
