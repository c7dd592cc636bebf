"""Texts as they were, kept in files beside their tests; `python -m tests.support.kept` writes what
figures, tables and pages show now."""

import re
from pathlib import Path

import numpy as np

from stockml.storage.arrays import Floats

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def check_kept(file: Path, name: str, found: str) -> None:
    """The text is what the file has under this name; its numbers nearly, as machines differ."""
    kept = read_kept(file)[name]
    assert NUMBER.sub("#", found) == NUMBER.sub("#", kept)
    np.testing.assert_allclose(_values(found), _values(kept), rtol=2e-5, atol=1e-7, err_msg=found)


def _values(text: str) -> Floats:
    return np.array([float(number) for number in NUMBER.findall(text)])


def read_kept(file: Path) -> dict[str, str]:
    parts = file.read_text().rstrip().split("\n\n=== ")
    return {name: text for name, _, text in (part.partition("\n") for part in parts)}


def write_kept(file: Path, texts: dict[str, str]) -> None:
    parts = (f"{name}\n{text.rstrip()}" for name, text in texts.items())
    file.write_text("\n\n=== ".join(parts) + "\n")


def main() -> None:
    from tests.deployments import test_screens
    from tests.stockml.plots import recorded
    from tests.stockml.tracking import pages

    write_kept(recorded.KEPT, recorded.described_figures())
    write_kept(pages.KEPT, pages.texts())
    write_kept(test_screens.KEPT, test_screens.screens())


if __name__ == "__main__":
    main()
