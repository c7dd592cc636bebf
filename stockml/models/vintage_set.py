"""The newest vintages as of a day: of the regression, the ridge regression and the pretrained
network.

They are chosen by date, never by score. Where one is missing or damaged, the rest forecasts without
it and says why: the regressions without the network, the one across tickers without the ridge, or
the EWMA 60 with normal quantiles.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from functools import cache, wraps
from pathlib import Path
from typing import Any, Self

import numpy as np

from stockml.errors import InvalidFile, OtherVersion
from stockml.features.volatility import Volatilities
from stockml.models import vintage_store
from stockml.models.pretrained_network import PretrainedNetwork, Replay
from stockml.models.regressions import (
    LEADS,
    LEVELS,
    HarRegression,
    RidgeRegression,
    Vintage,
    check_history,
)
from stockml.models.vintage_store import KINDS, SHIPPED
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices
from stockml.storage.files import write_atomically

MAX_NAMED = 2  # damaged files in a note
# the kinds that a forecast needs, each a correction of the one before
FORECASTING = ("regression", "ridge", "pretrained")


@dataclass(frozen=True, eq=False)
class VintageSet:
    """The regressions and a network, or None.  reasons: by kind, why there is none, or which
    damaged files were passed.

    Neither ridge regression nor network is used without what it corrects.
    """

    regression: HarRegression | None
    ridge: RidgeRegression | None
    pretrained: PretrainedNetwork | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def ending_before(cls, day: date, folders: Sequence[Path] = (SHIPPED,)) -> Self:
        """The newest of each kind that has seen no session from `day` on."""
        vintages: dict[str, Any] = dict.fromkeys(FORECASTING)
        reasons: dict[str, str] = {}
        for kind in FORECASTING:  # each corrects the one before it
            vintages[kind], reason = _newest(kind, day, folders)
            if reason:
                reasons[kind] = reason
            if vintages[kind] is None:
                break
        return cls(**vintages, reasons=reasons)

    @property
    def complete(self) -> tuple[HarRegression, RidgeRegression, PretrainedNetwork]:
        """The regressions and the network, for a caller who knows that there is one."""
        assert self.regression is not None
        assert self.ridge is not None
        assert self.pretrained is not None
        return self.regression, self.ridge, self.pretrained

    @property
    def through(self) -> date | None:
        """The last session that any of them has seen."""
        return max(
            (each.through for each in (self.regression, self.ridge, self.pretrained) if each),
            default=None,
        )

    def identity(self) -> dict[str, str | None]:
        """By kind, the name and content SHA-256 of its file, or None."""
        vintages = {kind: getattr(self, kind) for kind in FORECASTING}
        return {kind: _identity(vintage) if vintage else None for kind, vintage in vintages.items()}

    def files(self, folders: Sequence[Path]) -> tuple[Path, ...]:
        """The files that it is made of. Raises InvalidFile where no folder holds one of them."""
        return tuple(
            file_of(identity, folders) for identity in self.identity().values() if identity
        )

    @classmethod
    def from_identity(cls, identity: dict[str, str | None], folders: Sequence[Path]) -> Self:
        """The inverse of `identity`. Raises InvalidFile where no folder holds such a file."""
        files = {
            kind: _read(file_of(entry, folders))
            for kind in FORECASTING
            if (entry := identity.get(kind))
        }
        return cls(files.get("regression"), files.get("ridge"), files.get("pretrained"))

    def simple_quantiles(self, series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        """(m, leads, 21) quantiles at LEVELS without a network; extended by √lead beyond the
        longest lead learned.

        Those of the ridge regression, symmetric about 0; without one, of what it would correct.
        """
        if self.regression is None:
            from scipy.special import ndtri  # a random walk of the EWMA 60 volatility

            volatilities = Volatilities.of(series)
            check_history(volatilities, origins)
            spread = volatilities.ewma_60[origins, None, None] * np.sqrt(leads)[:, None]
            return np.asarray(spread * ndtri(LEVELS), dtype=np.float64)
        capped, scale = _scaled(leads)
        if self.ridge is None:
            return self.regression.quantiles(series, origins, capped) * scale
        return self.ridge.quantiles(series, origins, capped, self.regression) * scale

    def network_quantiles(
        self,
        series: PriceSeries,
        origins: Indices,
        leads: Indices,
        fine_tuned: PretrainedNetwork | None = None,
    ) -> Floats:
        """(m, leads, 21) symmetric quantiles of the pretrained or a fine-tuned network; else as
        `simple_quantiles`."""
        regression, ridge, pretrained = self.complete
        capped, scale = _scaled(leads)
        network = fine_tuned or pretrained
        return network.quantiles(series, origins, capped, regression, ridge) * scale


def replay_of(pretrained: PretrainedNetwork, folders: Sequence[Path] = (SHIPPED,)) -> Replay:
    """The stretches from which this pretrained network learned.  Raises InvalidFile where no folder
    has them."""
    name, found = f"replay-{pretrained.through:%Y-%m}.npz", "nothing"
    for path in (folder / name for folder in folders if (folder / name).is_file()):
        replay: Replay = _read(path)
        if replay.network == vintage_store.digest(pretrained):
            return replay
        found = "of another network"
    expected = f"expected the stretches that it learned from, found {found}"
    raise InvalidFile(name, f"{expected}; {vintage_store.OWN}")


def oldest_through(folders: Sequence[Path] = (SHIPPED,)) -> date | None:
    """The last session of the oldest readable regression, before which nothing is scored; None
    without any."""
    return next((each.through for each in _vintages(folders, ["regression"])), None)


def vintages_sha256(day: date, folder: Path) -> str:
    """Hash of all vintages in the folder that have seen no session after `day`; "" where there is
    none."""
    identities = [_identity(each) for each in _vintages([folder]) if each.through <= day]
    return hashlib.sha256("\n".join(identities).encode()).hexdigest() if identities else ""


def keep_superseded(folder: Path, new: Vintage) -> None:
    """Copy the vintage that `new` is about to overwrite, for models that name it, unless both are
    the same."""
    path = folder / vintage_store.file_name(new)
    if (old := _readable(path)) and (identity := _identity(old)) != _identity(new):
        write_atomically(_superseded_path(folder, *identity.split()), path.read_bytes())


_CACHE: ContextVar[dict[Any, Any] | None] = ContextVar("_CACHE", default=None)


@contextmanager
def vintage_cache() -> Iterator[None]:
    """List and read vintages only once within this context: what is written meanwhile is not
    seen."""
    token = _CACHE.set({})
    try:
        yield
    finally:
        _CACHE.reset(token)


def _cached(lookup: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that reads the disk, to call it only once for equal arguments within
    `vintage_cache`."""

    @wraps(lookup)
    def wrapper(*arguments: Any) -> Any:
        if (results := _CACHE.get()) is None:
            return lookup(*arguments)
        if (key := (lookup, *arguments)) not in results:
            results[key] = lookup(*arguments)
        return results[key]

    return wrapper


def _newest(kind: str, day: date, folders: Sequence[Path]) -> tuple[Any, str]:
    """The newest vintage before `day` in all folders, and a note: damaged files skipped, or why
    there is none."""
    notes: list[str] = []
    oldest = None
    for path in reversed(_by_date(kind, tuple(folders))):
        try:
            vintage = _read(path)
        except InvalidFile as damaged:
            notes.append(str(damaged))
            continue
        if vintage.through < day:
            return vintage, "; ".join(notes[:MAX_NAMED])
        oldest = vintage.through
    missing = f"the oldest has seen sessions through {oldest}" if oldest else "there is none"
    nothing = f"no {KINDS[kind].name} ends before {day}: {missing}"
    return None, "; ".join([*notes[:MAX_NAMED], nothing])


def file_of(identity: str, folders: Sequence[Path]) -> Path:
    """The file, superseded or not, with this name and content. Raises InvalidFile where no folder
    has it."""
    name, sha256 = identity.split()
    for folder in folders:
        for path in (folder / name, _superseded_path(folder, name, sha256)):
            if (vintage := _readable(path)) and _identity(vintage) == identity:
                return path
    holders = [folder for folder in folders if (folder / name).is_file()]
    found, error = "a file that cannot be read" if holders else "none", InvalidFile
    if any(_readable(folder / name) for folder in holders):
        found = "another of that name, as another version of stockml has it,"
        error = OtherVersion if holders == [SHIPPED] else InvalidFile
    where, way_back = ", ".join(map(str, folders)), "restore it from a backup, or retrain"
    raise error(name, f"expected content of SHA-256 {sha256}, found {found} in {where}; {way_back}")


def _superseded_path(folder: Path, name: str, sha256: str) -> Path:
    return folder / "superseded" / sha256[:16] / name


@_cached
def _by_date(kind: str, folders: tuple[Path, ...]) -> list[Path]:
    """Files of all folders, oldest first, as names sort; within a month, the first folder's counts
    as newest."""
    paths = (path for folder in reversed(folders) for path in folder.glob(KINDS[kind].pattern))
    return sorted(paths, key=lambda path: path.name)


def _vintages(folders: Sequence[Path], kinds: Iterable[str] = KINDS) -> Iterator[Any]:
    """All readable vintages of these kinds, by kind, oldest first."""
    return filter(
        None, (_readable(path) for kind in kinds for path in _by_date(kind, tuple(folders)))
    )


def _readable(path: Path) -> Any:
    try:
        return _read(path)
    except InvalidFile:
        return None


@cache
def _identity(vintage: Vintage) -> str:
    return f"{vintage_store.file_name(vintage)} {vintage_store.digest(vintage)}"


@_cached
def _read(path: Path) -> Any:
    """The vintage, read only once while its file is unchanged. Raises InvalidFile."""
    try:
        status = path.stat()
    except OSError:
        return vintage_store.read(path)  # which says what is wrong
    return _read_once(path, status.st_ino, status.st_size, status.st_mtime_ns)


@cache
def _read_once(path: Path, *version: int) -> Any:
    return vintage_store.read(path)


def _scaled(leads: Indices) -> tuple[Indices, Floats]:
    """The leads, capped at the longest learned, and (leads, 1) factors: √lead beyond it."""
    capped = np.minimum(leads, LEADS[-1])
    return capped, np.sqrt(leads / capped)[:, None]
