"""What a person settled about single bars: believed after all, or not. A judgement is of prices, not of a day.

A bar that is restated to other prices is judged by the rules again; a restated volume leaves the judgement as it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from stockml.prices.bars import PRICES, Bars, SetAside
from stockml.prices.revisions import RECORDED_AT, added, stamp
from stockml.storage.parquet_files import Table

SCHEMA = pa.schema(
    [("session", pa.date32()), ("accepted", pa.int64())]
    + [(name, pa.float64()) for name in PRICES]
    + [("recorded_at", RECORDED_AT), ("source", pa.string())]
)
REJECTED = "rejected by hand"


@dataclass(frozen=True)
class Judgement:
    """`prices` are the open, high, low and close that were looked at, as recorded."""

    session: date
    accepted: bool
    prices: tuple[float, ...]


def with_judgement(table: Table, judgement: Judgement, recorded_at: datetime, source: str) -> Table:
    """The table with one more row."""
    values = [judgement.session, int(judgement.accepted), *judgement.prices, recorded_at, source]
    row = pa.table([[value] for value in values], schema=SCHEMA)
    return added(table, row)


def newest(table: Table, as_of: datetime | None) -> dict[date, Judgement]:
    """The newest judgement of each session that was recorded by `as_of`."""
    return {
        row["session"]: Judgement(row["session"], bool(row["accepted"]), tuple(row[name] for name in PRICES))
        for row in table.to_pylist()
        if as_of is None or stamp(row["recorded_at"]) <= stamp(as_of)
    }


def settled(found: Collection[SetAside], judgements: Mapping[date, Judgement], recorded: Bars) -> tuple[SetAside, ...]:
    """What stays set aside after the judgements that speak of the prices in `recorded`, with what they reject."""
    holding = {
        day: judgement
        for day, judgement in judgements.items()
        if tuple(recorded.loc[str(day) : str(day), list(PRICES)].to_numpy().ravel().tolist()) == judgement.prices
    }
    kept = {bar.session: bar for bar in found if not (bar.session in holding and holding[bar.session].accepted)}
    for day, judgement in holding.items():
        if not judgement.accepted:
            kept.setdefault(day, SetAside(day, REJECTED))
    return tuple(kept[day] for day in sorted(kept))
