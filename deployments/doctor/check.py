"""What each check of the doctor yields; an error of a check is a problem too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from stockml.errors import StockmlError
from stockml.storage.os_errors import refused


@dataclass(frozen=True)
class Check:
    """The result of one check; `advice` says what to do, and is empty if nothing needs doing."""

    name: str
    verdict: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[self.verdict]
        return f"{mark} {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")


def guarded(name: str, look: Callable[..., object], *arguments: object) -> Iterator[Check]:
    """Yield each check that `look` returns or yields, if any; an error that it raises becomes a
    problem."""
    try:
        result = look(*arguments)
        if isinstance(result, Check):
            yield result
        elif isinstance(result, Iterator):
            yield from result
    except (StockmlError, OSError) as error:
        yield Check(name, "problem", refused(error))
