"""`make run`: `stockml nightly` for one ticker; without an API key, on recorded prices over real
HTTP."""

import sys
from collections.abc import Callable

from deployments.process import as_program


def main() -> None:
    as_program(_loaded)


def _loaded() -> Callable[[], int]:
    from deployments.cli.app import run

    return lambda: run(["nightly", *(sys.argv[1:] or ["IBM"])])


if __name__ == "__main__":
    main()
