"""What many tickers have taught, as of a day: the pooled regression and the base network of the newest vintages.

Chosen by date, never by score. Where there is none, or a file is damaged, what is left forecasts alone, and says why:
the regression without the network, and without either the EWMA 60 with normal quantiles.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from stockml.errors import InvalidFile
from stockml.features.range_volatility import Volatilities
from stockml.models import pooled_vintages
from stockml.models.base_network import BaseNetwork, lead_basis
from stockml.models.pooled_regression import LEADS, LEVELS, MEDIAN, PooledRegression, check_history, symmetrised
from stockml.models.pooled_vintages import KINDS, SHIPPED, Vintage
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices
from stockml.storage.files import write_atomically


@dataclass(frozen=True, eq=False)
class Pool:
    """regression, base: None where there is none.  reasons: by kind, why, or which damaged files were passed over."""

    regression: PooledRegression | None
    base: BaseNetwork | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def before(cls, day: date, folders: Sequence[Path] = (SHIPPED,)) -> Self:
        """The newest of each kind that has seen no session from `day` on."""
        regression, why = _newest("regression", day, folders)
        base, why_not = _newest("base", day, folders) if regression else (None, "")
        return cls(regression, base, {kind: note for kind, note in (("regression", why), ("base", why_not)) if note})

    @property
    def through(self) -> date | None:
        """The last session that any of it has seen."""
        return max((each.through for each in (self.regression, self.base) if each), default=None)

    def identity(self) -> dict[str, str | None]:
        """Which files it is made of: name and SHA-256 of the content."""
        return {kind: (each := getattr(self, kind)) and _identity(each) for kind in KINDS}

    def files(self, folders: Sequence[Path]) -> tuple[Path, ...]:
        """The very files that it is made of. Raises InvalidFile where no folder holds one."""
        return tuple(file_of(named, folders) for named in self.identity().values() if named)

    @classmethod
    def identified(cls, identity: dict[str, str | None], folders: Sequence[Path]) -> Self:
        """The inverse of `identity`. Raises InvalidFile where no folder holds the very file."""
        files = {kind: _read(file_of(named, folders)) for kind in KINDS if (named := identity[kind])}
        return cls(files.get("regression"), files.get("base"))

    def simple(self, series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        """(m, leads, 21) quantiles at LEVELS without a network; beyond the furthest lead that was learned by √lead."""
        if self.regression is None:
            from scipy.special import ndtri  # a random walk of the EWMA 60 volatility

            volatilities = Volatilities.of(series)
            check_history(volatilities, origins)
            spread = volatilities.ewma_60[origins, None, None] * np.sqrt(leads)[:, None]
            return np.asarray(spread * ndtri(LEVELS), dtype=np.float64)
        known, further = _learned(leads)
        return np.asarray(self.regression.quantiles(series, origins, known) * further, dtype=np.float64)

    def network(
        self, series: PriceSeries, origins: Indices, leads: Indices, coefficients: Floats | None = None
    ) -> Floats:
        """(m, leads, 21) the base's quantiles, symmetric about 0.

        coefficients: (4,), a ticker's own, of `lead_basis`: what its ln width is changed by.
        """
        assert self.base is not None
        assert self.regression is not None
        known, further = _learned(leads)
        scale = further if coefficients is None else np.exp(lead_basis(known) @ coefficients)[:, None] * further
        return np.asarray(self.base.quantiles(series, origins, known, self.regression) * scale, dtype=np.float64)


def widths_of(quantiles: Floats) -> Floats:
    """(…) mean of the upper quantiles of a symmetric distribution (…, 21)."""
    return np.asarray(symmetrised(quantiles)[..., MEDIAN + 1 :].mean(axis=-1), dtype=np.float64)


def read_ahead(folders: Sequence[Path] = (SHIPPED,)) -> None:
    """Read what is there, for all that is asked for later; a damaged file is a matter for whom it concerns."""
    for vintage in _vintages(folders):
        _identity(vintage)


def oldest_through(folders: Sequence[Path] = (SHIPPED,)) -> date | None:
    """The last session of the oldest regression that can be read: nothing earlier is scored. None without any."""
    oldest = next(filter(None, map(_readable, _by_date("regression", folders))), None)
    return oldest.through if oldest else None


def vintages_sha256(day: date, folder: Path) -> str:
    """Hash of all vintages in the folder that have seen no session after `day`; "" where there is none."""
    found = [_identity(each) for each in _vintages([folder]) if each.through <= day]
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""


def keep_superseded(folder: Path, after: Vintage) -> None:
    """Copy the vintage whose name `after` is about to take, for models that name it; not where it is the same again."""
    path = folder / pooled_vintages.file_name(after)
    if (kept := _readable(path)) and (identity := _identity(kept)) != _identity(after):
        write_atomically(_aside(folder, *identity.split()), path.read_bytes())


def _newest(kind: str, day: date, folders: Sequence[Path]) -> tuple[Any, str]:
    """The newest by date over all folders, and what is to be said: damaged ones are passed over, and named."""
    notes: list[str] = []
    oldest = None
    for path in reversed(_by_date(kind, folders)):
        try:
            found = _read(path)
        except InvalidFile as damaged:
            notes.append(str(damaged))
            continue
        if found.through < day:
            return found, "; ".join(notes)
        oldest = found.through
    missing = f"the oldest has seen sessions through {oldest}" if oldest else "there is none"
    return None, "; ".join([*notes, f"no {KINDS[kind].name} ends before {day}: {missing}"])


def file_of(identity: str, folders: Sequence[Path]) -> Path:
    """The file that a pool's identity names: by name and by content. Raises InvalidFile where no folder has it."""
    name, sha256 = identity.split()
    for path in (path for folder in folders for path in (folder / name, _aside(folder, name, sha256))):
        if path.is_file() and _identity(_read(path)) == identity:
            return path
    there = any((folder / name).is_file() for folder in folders)
    found = "another of that name, as another version of stockml has it," if there else "none"
    where = ", ".join(map(str, folders))
    raise InvalidFile(name, f"expected content of SHA-256 {sha256}, found {found} in {where}; retrain")


def _aside(folder: Path, name: str, sha256: str) -> Path:
    return folder / "superseded" / sha256[:16] / name


def _by_date(kind: str, folders: Sequence[Path]) -> list[Path]:
    """The files of all folders, oldest first: their names sort by date. Of one month's the first folder's is newest."""
    found = (path for folder in reversed(folders) for path in folder.glob(KINDS[kind].pattern))
    return sorted(found, key=lambda path: path.name)


def _vintages(folders: Sequence[Path]) -> Iterator[Any]:
    """All that can be read, by kind, oldest first."""
    return filter(None, (_readable(path) for kind in KINDS for path in _by_date(kind, folders)))


def _readable(path: Path) -> Any:
    try:
        return _read(path) if path.is_file() else None
    except InvalidFile:
        return None


@cache
def _identity(vintage: Vintage) -> str:
    return f"{pooled_vintages.file_name(vintage)} {pooled_vintages.digest(vintage)}"


def _read(path: Path) -> Any:
    return _read_once(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _read_once(path: Path, changed: int) -> Any:
    return pooled_vintages.read(path)


def _learned(leads: Indices) -> tuple[Indices, Floats]:
    """The leads within what was learned, and (leads, 1) by how much the spread of those beyond is larger."""
    known = np.minimum(leads, LEADS[-1])
    return known, np.sqrt(leads / known)[:, None]
