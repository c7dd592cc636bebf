"""What `stockml` and `python -m deployments.cli` run. Nothing is imported before Ctrl-C is quiet."""

from collections.abc import Callable

from deployments.process import as_program


def main() -> None:
    as_program(_loaded)


def _loaded() -> Callable[[], int]:
    from deployments.cli.app import run

    return run


if __name__ == "__main__":
    main()
