"""One flipped bit at a time in every kind of file that is a source of truth: named or harmless, and
never believed.

`tests.faults.campaign` flips many bits, the tests a few.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from stockml.errors import StockmlError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths, current_home
from stockml.maintenance.backup import back_up, restore
from stockml.models import vintage_store
from stockml.models.registry import Registry, champion_for
from stockml.models.vintage_store import SHIPPED
from stockml.nights.record import night_path, read_night, write_night
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from stockml.provider.http import Payload, archive, read_archived
from stockml.training.tuning import tuned_settings, write_tuned_settings
from tests.stockml.models.test_registry import night
from tests.support import PAYLOADS
from tests.support.forecasts import entry
from tests.support.nights import recorded_night
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SEED = 20130301


@dataclass(frozen=True)
class Kind:
    """Files of one kind, and how to read them. `read` raises StockmlError, or returns a value that
    can be compared."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Any]


def flip(kind: Kind, bits: int, chance: random.Random) -> Counter[str]:
    """Flip `bits` bits of the kind's files, one at a time; count those named, unnamed, harmless and
    believed."""
    found: Counter[str] = Counter()
    whole, wholes = kind.read(), {path: path.read_bytes() for path in kind.files}
    for _ in range(bits):
        path = chance.choice(kind.files)
        damaged = bytearray(wholes[path])
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            found["harmless" if kind.read() == whole else "believed"] += 1
        except StockmlError as refusal:
            found["named" if str(path.parent) in str(refusal) else "unnamed"] += 1
        path.write_bytes(wholes[path])
    assert kind.read() == whole
    return found


def kinds(folder: Path) -> dict[str, Kind]:
    """Create one of each kind in the folder."""
    place = current_home({"STOCKML_HOME": str(folder)})
    several = (*_of_prices(BarStore.of(place)), *_of_models(place))
    each = (_ledger(place), _settings(place), _payload(place), _night(place))
    return {kind.name: kind for kind in (*several, *each, _backup(place))}


def _of_prices(store: BarStore) -> tuple[Kind, ...]:
    bars, told = recorded("IBM").iloc[-400:], {"recorded_at": NOW, "source": "test"}
    last = bars.index[-1].date()
    store.append("IBM", bars.iloc[100:], session=last, **told)
    store.record_splits("IBM", [Split(bars.index[200].date(), 2.0)], **told)
    store.record_import("IBM", bars.iloc[:150], **told)
    store.judge("IBM", last, accepted=False, **told)
    splits, history, judgements = ((Path(address),) for address in store.side_files("IBM"))

    def adjusted() -> Any:
        return store.adjusted("IBM").to_dict("tight")

    return (
        Kind("judgements", judgements, adjusted),
        Kind("store", (Path(store.path("IBM")),), lambda: store.read("IBM").to_dict("tight")),
        Kind("splits", splits, adjusted),
        Kind("history", history, adjusted),
    )


def _of_models(place: HomePaths) -> tuple[Kind, ...]:
    registry = Registry(place.models)
    for number in range(1, 6):
        registry.promote(night(place.models, number))
    champion = registry.rollback("IBM", at=NOW, reason="it misbehaves")

    def learned(name: str, folder: str, source: Path) -> Kind:
        (place.root / folder).mkdir()
        path = Path(shutil.copy(source, place.root / folder))
        return Kind(name, (path,), lambda: vintage_store.digest(vintage_store.read(path)))

    return (
        Kind("promotions", (registry.file("IBM"),), lambda: registry.history("IBM")),
        Kind(
            "champion",
            tuple(Path(champion.path).iterdir()),
            lambda: champion_for(place, "IBM", date(2013, 4, 1)),
        ),
        learned("pretrained network", "pretrained", SHIPPED / "network-2005-06.npz"),
        learned("regression", "pooled", next(SHIPPED.glob("*.json"))),
    )


def _ledger(place: HomePaths) -> Kind:
    ledger = Ledger(place.ledger)
    for at in range(10, 15):
        ledger.publish(entry(at))
    return Kind("ledger", (ledger.file("IBM"),), lambda: ledger.entries("IBM"))


def _payload(place: HomePaths) -> Kind:
    kept = archive(
        Payload("IBM", (PAYLOADS / "daily_compact.json").read_bytes(), NOW), place.payloads
    )
    return Kind("payload", (kept,), lambda: read_archived(kept))


def _settings(place: HomePaths) -> Kind:
    path = write_tuned_settings(
        place, "IBM", {"training.epochs": 3, "network.dropout": 0.125}, {"trials": 2}
    )
    return Kind("settings", (path,), lambda: tuned_settings(place, "IBM"))


def _night(place: HomePaths) -> Kind:
    kept = recorded_night("IBM", share=0.4)
    path = night_path(place.nights, kept.ticker, kept.key)
    write_night(kept, path)
    return Kind("night", (path,), lambda: read_night(path))


def _backup(place: HomePaths) -> Kind:
    file = place.root.with_suffix(".zip")
    back_up(place, file, NOW)

    def restored() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            restore(current_home({"STOCKML_HOME": folder}), file)
            files = (path for path in Path(folder).rglob("*") if path.is_file())
            return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return Kind("backup", (file,), restored)
