"""Make the shipped vintages of both regressions and their README from a folder of price files.

python -m tests.bench.make_vintages ../shared/kaggle-universe [--into FOLDER]

It is here and not in `deployments/` because the price files are not part of the project and users
of stockml do not need it: like the rest of this folder, it reproduces a shipped figure or file.
"""

import argparse
import hashlib
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from stockml.errors import StockmlError
from stockml.models.regressions import HarRegression, RidgeRegression
from stockml.models.vintage_store import SHIPPED, file_name, write
from stockml.prices.csv_import import read_folder
from stockml.prices.series import PriceSeries

ENDS = tuple(date(year, 6, 30) for year in range(1999, 2018, 2))

# the README's text after it is about the pretrained networks
PRETRAINED_FILES = "<!-- made by make_pretrained -->"
README = """# The regressions, by vintage

Each `regression-YYYY-MM.json` holds one regression of how far a share moves, with one shape (21 quantiles) per lead,
fitted on many tickers up to that month (`stockml/models/regressions.py`). Each `ridge-YYYY-MM.json`
corrects it by a ridge regression on averages of a network's inputs (`stockml/models/regressions.py`): the
strongest simple forecast, which the network corrects in turn. A forecast uses the newest ones that end before the
origins it is scored on. Made by

    python -m tests.bench.make_vintages {folder}

from daily files of the "Huge Stock Market Dataset" (Boris Marjanovic, Kaggle; CC0), adjusted for splits and dividends.

**All of these tickers were still listed in November 2017.** The fit has seen no share that failed, was bought or was
delisted before then: its widths are those of survivors, and so is every figure measured on them.

| file | sessions seen through | tickers | sessions | origins | SHA-256 of the file |
|---|---|--:|--:|--:|---|
{rows}

Tickers of the newest:
{tickers}.
{refused}"""


def make(folder: Path, into: Path, ends: Sequence[date] = ENDS) -> list[Path]:
    """Fit and write both regressions for each end, and the README."""
    series, refusals, _ = read_folder(folder)
    made = [model for until in ends for model in regressions(series, until, into)]
    paths = [into / file_name(model) for model in made]
    rows = sorted(_row(path, model) for path, model in zip(paths, made, strict=True))
    refused = "".join(
        f"\nLeft out: {name}, {_why(refusal, name)}.\n" for name, refusal in refusals.items()
    )
    text = README.format(
        folder=folder, rows="\n".join(rows), tickers=_wrapped(made[-1].tickers), refused=refused
    )
    path = into / "README.md"
    _, mark, of_pretrained = (
        path.read_text(encoding="utf-8").partition(PRETRAINED_FILES)
        if path.exists()
        else ("", "", "")
    )
    path.write_text(text + (f"\n{mark}{of_pretrained}" if mark else ""), encoding="utf-8")
    return paths


def regressions(
    series: Mapping[str, PriceSeries], until: date, into: Path
) -> tuple[HarRegression, RidgeRegression]:
    """Fit both regressions and write their vintages."""
    pooled = HarRegression.fit(series, until)
    ridge = RidgeRegression.fit(series, until, pooled)
    for each in (pooled, ridge):
        write(each, into)
    return pooled, ridge


def _row(path: Path, model: HarRegression | RidgeRegression) -> str:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    counts = f"{len(model.tickers)} | {model.sessions:,} | {model.origins:,}"
    return f"| `{path.name}` | {model.through} | {counts} | `{sha256}` |"


def _wrapped(tickers: tuple[str, ...]) -> str:
    return textwrap.fill(", ".join(tickers), 118, break_on_hyphens=False)


def _why(refusal: StockmlError, name: str) -> str:
    """The reason of the refusal, without this machine's path."""
    return str(refusal).split(f"{name}: ", 1)[-1].split(";", maxsplit=1)[0]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--into", type=Path, default=SHIPPED)
    chosen = options.parse_args()
    began = time.monotonic()
    for path in make(chosen.folder, chosen.into):
        print(f"{path} ({path.stat().st_size:,} bytes)")
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
