"""Cold nights of this checkout and of another in turns, since a machine's speed changes within minutes.

git worktree add ../first 553ca12
python -m tests.bench.beside ../first
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

NIGHTS = 6  # the first retrains
DRIVER = """
import resource, sys
from pathlib import Path
from tests.bench import on_nights
try:
    from deployments.replay.feed import Feed
    from tests.support.recordings import recorded
except ImportError:  # where the first version had them
    from deployments.feed import Feed
    from deployments.recording import recorded_bars as recorded

def spent():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime

count = int(sys.argv[2])
days = on_nights.days_of(recorded(on_nights.TICKER)).tolist()[-count:]
place = on_nights._with_history(Path(sys.argv[1]) / "night", count)
with Feed() as feed:
    for day in days:
        sys.stdin.readline()
        feed.set_clock(day)
        before = spent()
        on_nights._night(place, feed)
        print(spent() - before, flush=True)
"""


class Checkout:
    """A checkout whose nights run on request, with this interpreter and its packages."""

    def __init__(self, tree: Path, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(home), str(NIGHTS)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def night(self) -> float:
        """Run the next night and return the CPU seconds of all its processes."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def main(other: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trees = (Path(other).resolve(), Path(__file__).parents[2])
        theirs, ours = (Checkout(tree, Path(folder) / str(at)) for at, tree in enumerate(trees))
        pairs = [(theirs.night(), ours.night()) for _ in range(NIGHTS)]
    for name, those in (("first night", pairs[:1]), ("a night with one new session", pairs[1:])):
        said = ", ".join(f"{one:.1f} and {two:.1f}" for one, two in those)
        print(f"{name}, CPU seconds of the other checkout and of this: {said}; {median(b / a for a, b in those):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
