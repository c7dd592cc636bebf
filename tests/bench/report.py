"""The figures, their targets on 2 cores, and the table: for the terminal, and as JSON."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from typing import Any

import psutil
from rich.table import Table

from tests.bench.measuring import Measured

COLUMNS = ("figure", "to reach", "median", "range", "runs", "first", "peak memory", "")
SCALES = {"ms": 1e-3, "s": 1.0, "min": 60.0, "GB": 1e9}
PACKAGES = ("numpy", "pandas", "tensorflow", "keras", "prefect", "mlflow", "stockml")


@dataclass(frozen=True)
class Figure:
    """One row of the table. limit: the target, in `unit`; None for figures without one."""

    says: str
    unit: str
    limit: float | None = None


FIGURES = {
    "append": Figure("append one session to 14,000 (lock, check, fsync, replace)", "ms", 25),
    "read": Figure("read 14,000 sessions, adjusted, as of a time", "ms", 10),
    "retrain": Figure("nightly retrain of one ticker (10,000 sessions)", "s", 4),
    "fine-tune": Figure("nightly fine-tune for one new session", "s", 1),
    "first night": Figure("a ticker's first night (retrain), whole process", "s"),
    "night": Figure("a night with one new session, whole process, cold", "s", 25),
    "night cpu": Figure("the same in CPU seconds", "s", 14),
    "night again": Figure("a night with nothing new, whole process", "s", 2),
    "night memory": Figure("peak memory of one night, its Prefect server included", "GB", 1.5),
    "scheduled night": Figure(
        "a scheduled night on `stockml up`, CPU seconds of all processes", "s", 8
    ),
    "25 scheduled": Figure("25 scheduled nights that are due at once, on `stockml up`", "min", 6),
    "first universe": Figure("50 tickers' first night (retrain), 2 processes", "min"),
    "universe": Figure("50 tickers, one new session each, 2 processes", "min", 4),
    "first hundreds": Figure("500 tickers' first night (retrain), 2 processes", "min"),
    "hundreds": Figure("500 tickers, one new session each, 2 processes", "min", 10),
    "few": Figure("4 tickers' first night (retrain), 2 processes (the short run's)", "s"),
    "disk": Figure("a year of 50 tickers on the disk, by a measured month", "GB", 2),
}


def table(measured: Sequence[Measured], machine: Mapping[str, str]) -> Table:
    """The table for the terminal; figures that missed their target are red."""
    title = ", ".join(f"{name} {value}" for name, value in machine.items())
    shown = Table(*COLUMNS, title=title, title_justify="left")
    for one in measured:
        shown.add_row(*cells(one), style="red" if missed(one) else None)
    return shown


def as_json(measured: Sequence[Measured]) -> dict[str, Any]:
    """The figures as JSON values, in the measured units: seconds, bytes."""
    figures = [
        {**vars(one), "median": one.median, "says": FIGURES[one.figure].says, "missed": missed(one)}
        for one in measured
    ]
    return {"machine": machine(), "figures": figures}


def notes(measured: Sequence[Measured]) -> list[str]:
    return [f"{FIGURES[one.figure].says}: {one.remark}" for one in measured if one.remark]


def machine() -> dict[str, str]:
    """Processor, usable cores, memory, system, Python, and the versions of the main packages."""
    found = {
        "CPU": platform.processor() or platform.machine(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": sys.version.split()[0],
    }
    of_package = packages_distributions()  # TensorFlow's has other names
    return found | {name: version(of_package[name][0]) for name in PACKAGES if name in of_package}


def cells(one: Measured) -> tuple[str, ...]:
    """A row of the table, as text."""
    figure = FIGURES[one.figure]
    low, high = (_number(value, figure) for value in (min(one.values), max(one.values)))
    memory = f"{one.peak_bytes / 1e9:.2f} GB"
    if one.together_bytes is not None:
        memory += f", all {one.together_bytes / 1e9:.2f} GB"
    return (
        figure.says,
        "" if figure.limit is None else f"≤ {figure.limit:g} {figure.unit}",
        f"{_number(one.median, figure)} {figure.unit}",
        f"{low}–{high}" if len(one.values) > 1 else "",
        str(len(one.values)),
        "" if one.first is None else f"{_number(one.first, figure)} {figure.unit}",
        memory,
        "" if figure.limit is None else "missed" if missed(one) else "reached",
    )


def missed(one: Measured) -> bool:
    figure = FIGURES[one.figure]
    return figure.limit is not None and one.median > figure.limit * SCALES[figure.unit]


def _number(value: float, figure: Figure) -> str:
    scaled = value / SCALES[figure.unit]
    return f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.3g}"
