"""Resources that many tickers on many exchanges need, from measured constants and a simulated
night.

    python -m tests.bench.scale

The simulation uses every exchange's real closing time on one day, in UTC; its tickers' nights join
one queue 30 minutes later. A night sends one request to the provider, as soon as the key's rate
allows, then occupies a worker process for its CPU seconds and meanwhile Prefect's server, a single
process, for the server's. Prices come from public lists; they are arguments, not findings.
"""

import argparse
import heapq
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

import exchange_calendars
import numpy as np

DAY = date(2026, 11, 23)  # a Monday when most exchanges trade
AFTER_CLOSE = timedelta(minutes=30)


@dataclass(frozen=True)
class Constants:
    """What a ticker's night takes, as printed by `python -m tests.bench --only=25`."""

    cpu_s: float = 20.6  # of the night's own process, and of the worker
    prefect_cpu_s: float = 1.66
    mlflow_cpu_s: float = 0.41
    requests: int = 1  # to the provider
    prefect_rows: int = 148
    mlflow_rows: int = 301


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, nargs="+", default=[500, 2_000, 10_000])
    parser.add_argument("--exchanges", type=int, default=50)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument(
        "--rate", type=int, nargs="+", default=[75, 1_200], help="requests a minute"
    )
    parser.add_argument("--vcpu-hour", type=float, default=0.04, help="dollars")
    simulate(parser.parse_args())


def simulate(asked: argparse.Namespace) -> None:
    known, ends = Constants(), closes(asked.exchanges)
    print(
        f"{len(ends)} exchanges on {DAY}: the first closes at {min(ends):.1f} h UTC, the "
        f"last at {max(ends):.1f} h\n"
    )
    print(
        "| tickers | requests a minute | worker processes | minutes from a ticker's turn: "
        "median, 95 %, worst |"
    )
    print("| --: | --: | --: | --- |")
    for tickers in asked.tickers:
        for rate in asked.rate:
            for processes in asked.processes:
                waits = night(spread(ends, tickers), rate, processes, known)
                middle, most, worst = np.percentile(waits, [50, 95, 100])
                print(
                    f"| {tickers:,} | {rate:,} | {processes} | {middle:.1f}, {most:.1f}, "
                    f"{worst:.1f} |"
                )
    print(
        "\n| a night of | " + " | ".join(f"{tickers:,} tickers" for tickers in asked.tickers) + " |"
    )
    print("| --- |" + " --: |" * len(asked.tickers))
    for says, one in needs(known, asked):
        print(
            f"| {says} | " + " | ".join(f"{one * tickers:,.4g}" for tickers in asked.tickers) + " |"
        )


def needs(known: Constants, asked: argparse.Namespace) -> list[tuple[str, float]]:
    """The resources of one ticker's night, as (description, amount)."""
    servers = known.prefect_cpu_s + known.mlflow_cpu_s
    hours = (known.cpu_s + servers) / 3600
    return [
        ("CPU hours, servers included", hours),
        ("of which Prefect's and MLflow's servers, which are one process each", servers / 3600),
        ("rows in Prefect's database", known.prefect_rows),
        ("rows in MLflow's database", known.mlflow_rows),
        ("dollars: processors", hours * asked.vcpu_hour),
    ]


def closes(exchanges: int) -> list[float]:
    """Closing times on DAY in hours UTC, of at most `exchanges` exchanges; those that did not trade
    are left out."""
    found = []
    for name in exchange_calendars.get_calendar_names(include_aliases=False):
        if not name.startswith("X") or name in ("XBDA",):  # futures and bond exchanges
            continue
        with suppress(NotImplementedError, ValueError):  # five calendars fail on pandas 3
            calendar = exchange_calendars.get_calendar(
                name, start=str(DAY - timedelta(days=400)), end=str(DAY + timedelta(days=30))
            )
            if not calendar.is_session(str(DAY)):
                continue
            close = calendar.session_close(str(DAY))
            found.append((close - close.normalize()).total_seconds() / 3600)
    return found[:exchanges]


def spread(ends: list[float], tickers: int) -> np.ndarray:
    """(tickers,) earliest starts, minutes UTC, sorted: a quarter on the exchange closing last, the
    others evenly."""
    share = np.full(len(ends), 0.75 / (len(ends) - 1))
    share[int(np.argmax(ends))] = 0.25
    counts = np.floor(share * tickers).astype(int)
    counts[0] += tickers - counts.sum()
    start = np.array(ends) * 60 + AFTER_CLOSE.total_seconds() / 60
    return np.sort(np.repeat(start, counts))


def night(ready: np.ndarray, rate: float, processes: int, known: Constants) -> np.ndarray:
    """Minutes from each ticker's turn to its forecast: waits for the key's rate, a free process and
    the one server."""
    free, slot, server, waits = [0.0] * processes, 0.0, 0.0, list[float]()
    for moment in ready:
        slot = max(slot + 1 / rate, moment)
        began = max(slot, heapq.heappop(free))
        server = max(server, began) + known.prefect_cpu_s / 60
        done = max(began + known.cpu_s / 60, server)
        heapq.heappush(free, done)
        waits.append(done - moment)
    return np.array(waits)


if __name__ == "__main__":
    sys.exit(main())
