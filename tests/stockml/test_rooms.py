"""A reader finds their way: the root is the vocabulary, everything else is in a room, map and files are short."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
VOCABULARY = {"__init__", "clock", "code_version", "errors", "home", "redaction", "settings", "tickers"}


def test_the_root_is_the_vocabulary_and_no_module_is_longer_than_300_lines() -> None:
    assert {path.stem for path in (PROJECT / "stockml").glob("*.py")} == VOCABULARY
    rooms = ("stockml", "tasks", "flows", "deployments", "tests")
    modules = [path for room in rooms for path in (PROJECT / room).rglob("*.py")]
    assert len(modules) > 400
    assert len((PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert not [str(path) for path in modules if len(path.read_text(encoding="utf-8").splitlines()) > 300]
