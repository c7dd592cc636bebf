"""Make the shipped vintages of the pretrained network and their part of the README from a folder of
price files.

python -m tests.bench.make_pretrained ../shared/kaggle-universe [--through 2005-06] [--half]
    [--into FOLDER]

Each pretrained network learns from all tickers and corrects the regressions of the same month,
which are fitted anew, to the same bytes (`make_vintages`). A killed run resumes from its last
epoch. `--readme` writes only the README's part. It is kept here for the reason that `make_vintages`
gives.
"""

import argparse
import calendar
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from stockml.evaluation.pretrain import MEASURED_EVERY, SHARE, SKILL, pretrained_score
from stockml.models import vintage_store
from stockml.models.pretrained_network import PretrainedNetwork, Replay
from stockml.models.regressions import learning_origins
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.csv_import import read_folder
from stockml.prices.series import PriceSeries
from stockml.training.network_trainer import MemberSettings, members_of
from stockml.training.pretrain import PretrainProgress, pretrain
from tests.bench.make_vintages import ENDS, regressions

BEGIN, END = "<!-- made by make_pretrained -->", "<!-- made by make_pretrained: end -->"

PART = """{begin}

# The pretrained network, by vintage

Each `network-YYYY-MM.npz` holds two LSTMs of 48 + 48 units over 64 sessions, trained for eight epochs on all files of
the folder up to that month (USB's without its doubtful bars). Each corrects the width of the month's ridge regression.
The forecast of the close is their mean, symmetric about the last close: `stockml/models/pretrained_network.py`.
Each `replay-YYYY-MM.npz` holds 250 of the stretches (eight origins each) that it learned from, for a night's training.
The files are plain arrays in half precision with a JSON header and a SHA-256 over everything; they hold no code.
A forecast uses the newest one that ends before the origins it is scored on: chosen by date, never by score. Made
(and, if killed, resumed) by

    python -m tests.bench.make_pretrained {folder}

The caveat above holds here too: all training tickers are survivors. The CRPS skill below is symmetrised, over the
regression with its shape across tickers, on every 50th session of the same tickers and years as the training: it is
no evidence of skill, which is in the next section.

| file | sessions seen through | tickers | origins | CRPS where it learned | tickers that gain | SHA-256 of the file |
|---|---|--:|--:|--:|--:|---|
{rows}

{end}"""


def make(
    series: Mapping[str, PriceSeries], end: date, into: Path, members: Sequence[MemberSettings]
) -> Path:
    """Train one vintage, score it on the data it learned from, write it, and return its path."""
    pooled, ridge = regressions(series, end, into)
    folder = into / f"_pretraining-{end:%Y-%m}"
    tell = said(f"{end:%Y-%m}")
    pretrained, stretches = pretrain(
        series, end, pooled, ridge, folder=folder, members=members, on_epoch=tell
    )
    known = {ticker: series[ticker].through(end) for ticker in pretrained.tickers}
    at = {name: learning_origins(bars)[::MEASURED_EVERY] for name, bars in known.items()}
    skill, share = pretrained_score(VintageSet(pooled, ridge, pretrained), known, at)
    learned = {SKILL: round(skill, 6), SHARE: round(share, 1)}
    pretrained = replace(pretrained, scores={**pretrained.scores, **learned})
    vintage_store.write(Replay.of(stretches, pretrained, vintage_store.digest(pretrained)), into)
    path = vintage_store.write(pretrained, into)
    shutil.rmtree(folder)
    return path


def said(what: str) -> Callable[[PretrainProgress], None]:
    """Return a callback that prints each epoch on standard error."""

    def tell(row: PretrainProgress) -> None:
        text = f"{what}, {row.member}: epoch {row.epoch} of {row.epochs}, loss {row.loss:.5f}"
        print(
            f"{text}, {row.seconds:.0f} s, {row.seconds_left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    return tell


def write_readme(into: Path, folder: Path) -> None:
    """Write the section on the pretrained networks in `into` between the README's two marks, or at
    its end."""
    path = into / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2] or "\n"
    rows = [_row(file, vintage_store.read(file)) for file in sorted(into.glob("network-*.npz"))]
    part = PART.format(begin=BEGIN, folder=folder, rows="\n".join(rows), end=END)
    path.write_text(f"{before.rstrip()}\n\n{part}{after}", encoding="utf-8")


def _row(path: Path, pretrained: PretrainedNetwork) -> str:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    skill, share = (
        pretrained.scores[f"learned: {name}"]
        for name in ("CRPS over the regression", "tickers that gain, %")
    )
    counts = (
        f"{len(pretrained.tickers)} | {pretrained.origins:,} | {100 * skill:+.2f} % | {share:.0f} %"
    )
    return f"| `{path.name}` | {pretrained.through} | {counts} | `{sha256}` |"


def last_day(month: str) -> date:
    year, number = map(int, month.split("-"))
    return date(year, number, calendar.monthrange(year, number)[1])


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument(
        "--through", action="append", help="a month, YYYY-MM; may be repeated; else the shipped ten"
    )
    options.add_argument("--seeds", type=int, default=2, help="one network each")
    options.add_argument(
        "--half",
        action="store_true",
        help="learn from every other ticker, so that the rest can judge",
    )
    options.add_argument("--into", type=Path, default=SHIPPED)
    options.add_argument("--readme", action="store_true", help="write the README's part alone")
    chosen = options.parse_args()
    if not chosen.readme:
        series, *_ = read_folder(chosen.folder)
        series = {ticker: series[ticker] for ticker in sorted(series)[:: 2 if chosen.half else 1]}
        for month in chosen.through or (f"{end:%Y-%m}" for end in ENDS):
            began = time.monotonic()
            path = make(series, last_day(month), chosen.into, members_of(chosen.seeds))
            seconds = time.monotonic() - began
            print(
                f"{path} ({path.stat().st_size:,} bytes, {seconds:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
    if not chosen.half:
        write_readme(chosen.into, chosen.folder)


if __name__ == "__main__":
    main()
