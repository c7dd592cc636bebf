"""What was looked at, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `advice` says what to do, empty when there is nothing to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[self.verdict]
        return f"{mark} {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")
