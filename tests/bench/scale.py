"""Resources that many tickers on many exchanges need, from measured constants and a simulated
night.

    python -m tests.bench.scale

The simulation uses every exchange's real closing time on one day, in UTC; its tickers' nights join
one queue 30 minutes later. A night sends one request to the provider, as soon as the key's rate
allows, then occupies a worker process for its CPU seconds and meanwhile Prefect's server, a single
process, for the server's.
"""

import argparse
import heapq
import sys
from contextlib import suppress
from datetime import date, timedelta

import exchange_calendars
import numpy as np

DAY = date(2026, 11, 23)  # a Monday when most exchanges trade
AFTER_CLOSE = timedelta(minutes=30)


# what a ticker's night takes, as printed by `python -m tests.bench --only=25`
CPU_S = 20.6  # of the night's own process, and of the worker
PREFECT_CPU_S, MLFLOW_CPU_S = 1.66, 0.41  # of the servers, which are one process each
PREFECT_ROWS, MLFLOW_ROWS = 148, 301
EXCHANGES, REQUESTS_A_MINUTE = 50, 1_200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=REQUESTS_A_MINUTE, help="requests a minute")
    rate, ends = parser.parse_args().rate, closes(EXCHANGES)
    print(f"{len(ends)} exchanges on {DAY}, from {min(ends):.1f} to {max(ends):.1f} h UTC\n")
    print(
        "| tickers | processes | minutes: median, 95 %, worst | CPU hours | rows: Prefect; MLflow |"
    )
    print("|--:|--:|---|--:|---|")
    for tickers, processes in ((500, 2), (2_000, 8), (10_000, 32)):
        waits = night(spread(ends, tickers), rate, processes)
        middle, most, worst = np.percentile(waits, [50, 95, 100])
        hours = (CPU_S + PREFECT_CPU_S + MLFLOW_CPU_S) * tickers / 3600
        print(
            f"| {tickers:,} | {processes} | {middle:.1f}, {most:.1f}, {worst:.1f} | {hours:.1f} "
            f"| {PREFECT_ROWS * tickers:,}; {MLFLOW_ROWS * tickers:,} |"
        )


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


def night(ready: np.ndarray, rate: float, processes: int) -> np.ndarray:
    """Minutes from each ticker's turn to its forecast: waits for the key's rate, a free process and
    the one server."""
    free, slot, server, waits = [0.0] * processes, 0.0, 0.0, list[float]()
    for moment in ready:
        slot = max(slot + 1 / rate, moment)
        began = max(slot, heapq.heappop(free))
        server = max(server, began) + PREFECT_CPU_S / 60
        done = max(began + CPU_S / 60, server)
        heapq.heappush(free, done)
        waits.append(done - moment)
    return np.array(waits)


if __name__ == "__main__":
    sys.exit(main())
