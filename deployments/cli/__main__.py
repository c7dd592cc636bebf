"""What `stockml` and `python -m deployments.cli` run. Nothing is imported before Ctrl-C is
quiet."""

from importlib import import_module

from deployments.process import as_program


def main() -> None:
    as_program(lambda: import_module("deployments.cli.app").run)


if __name__ == "__main__":
    main()
