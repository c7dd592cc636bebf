"""Which model is champion, and how it became so: an append-only file per ticker, mirrored by
MLflow's aliases.

Each line ends with the CRC-32 of everything before it in the file; lines of earlier versions have
none. Never here: the decision itself (that is the gate's), or a change to a written line, except to
rename a ticker.
"""

import json
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from stockml.errors import InvalidFile, NoChampion, RecordUnreadable, StoreError
from stockml.home import HomePaths
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.locks import file_lock
from stockml.storage.os_errors import unfinished_rename, unreadable
from stockml.storage.receipts import as_text, read_record, record
from stockml.tickers import TICKER, validated_ticker

FILE = "promotions.jsonl"
CHECK = b', "crc32": "'


@record
@dataclass(frozen=True)
class Promotion:
    """One line: from `at` (with its UTC offset) on, the model in `path` with content `sha256` is
    the champion.

    key, version, session, reason: of the night that made the model; a rollback repeats them with
    its own reason. path: the model's folder, kept relative to the models' folder so that an
    installation can be moved.
    """

    ticker: str
    event: Literal["promote", "rollback"]
    key: str
    path: str
    sha256: str
    version: str | None
    session: date
    reason: str
    at: datetime

    def intact(self) -> bool:
        """Whether the model is still there, unchanged."""
        return sha256_of(self.path) == self.sha256


@dataclass(frozen=True)
class Registry:
    """The promotion histories under the models' folder."""

    models: Path
    lock_timeout_s: float = 60.0

    def file(self, ticker: str) -> Path:
        return self.models / validated_ticker(ticker) / FILE

    def history(self, ticker: str, *, of: str = "") -> tuple[Promotion, ...]:
        """All lines, oldest first; none before the first promotion.  Raises RecordUnreadable.

        of: another ticker that they may name, if its folder was renamed already.
        """
        path, ticker = self.file(ticker), validated_ticker(ticker)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise unreadable(path, error) from error
        if not content:
            raise RecordUnreadable(str(path), "an empty file")
        crc, before, promotions = 0, b"", []
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            try:
                promotions.append(self._read(line, crc, must_be_checked=CHECK in before))
            except ValueError as error:
                raise RecordUnreadable(str(path), f"line {number}: {error}") from error
            if (owner := promotions[-1].ticker) not in (ticker, of):
                found = f"line {number}: a promotion of {owner}, expected of {ticker}"
                raise RecordUnreadable(
                    str(path), found, unfinished_rename(owner, ticker) + RecordUnreadable.advice
                )
            crc, before = zlib.crc32(line, crc), line
        return tuple(promotions)

    def champion(self, ticker: str) -> Promotion | None:
        """The current champion; None before the first promotion.  Raises RecordUnreadable."""
        return next(reversed(self.history(ticker)), None)

    def champion_history(self, ticker: str) -> tuple[Promotion, ...]:
        """The champions up to the current one, oldest first; a rollback drops later ones.  Raises
        RecordUnreadable."""
        champions: list[Promotion] = []
        for line in self.history(ticker):
            keys = [champion.key for champion in champions]
            if line.event == "rollback" and line.key in keys:
                del champions[keys.index(line.key) + 1 :]
            else:
                champions.append(line)
        return tuple(champions)

    def promote(self, promotion: Promotion) -> bool:
        """Append it, unless its night's key is there: no rollback is undone.  Raises
        RecordUnreadable, StoreBusy."""
        with self._locked(promotion.ticker):
            if any(line.key == promotion.key for line in self.history(promotion.ticker)):
                return False
            self._append(promotion)
            return True

    def rollback(
        self,
        ticker: str,
        *,
        at: datetime,
        reason: str,
        beforehand: Callable[[Promotion], object] = lambda _: None,
    ) -> Promotion:
        """Append a line that restores the previous champion.  Raises NoChampion, RecordUnreadable,
        StoreBusy.

        beforehand: called before the line is written: killed in it, a repeated call goes back no
        further.
        """
        # which the nights' status need not load
        from stockml.models.trained_model import load_model

        if not self.file(ticker).exists():  # locking would create its folder
            raise NoChampion(ticker, f"nothing to roll back to in {self.models}")
        with self._locked(ticker):
            champions = self.champion_history(ticker)
            if len(champions) < 2:
                first = f": {champions[0].session}'s is the first" if champions else ""
                raise NoChampion(ticker, f"nothing to roll back to in {self.models}{first}")
            if not champions[-2].intact():
                lost = f"the earlier champion in {champions[-2].path} is gone or changed"
                raise NoChampion(ticker, lost)
            try:
                load_model(Path(champions[-2].path))
            except InvalidFile as missing:
                why = f"the earlier champion in {champions[-2].path} cannot be loaded: {missing}"
                raise NoChampion(ticker, why) from missing
            back = replace(champions[-2], event="rollback", at=at, reason=reason)
            beforehand(back)
            self._append(back)
            return back

    def roll_back_to(self, line: Promotion) -> None:
        """Append a rollback that a person chose elsewhere, to any model.  Raises StoreBusy."""
        with self._locked(line.ticker):
            self._append(line)

    def rename(self, old: str, new: str) -> bool:
        """Rewrite `old` to `new` in the lines of the renamed folder; False when none is left to
        rewrite."""
        if not self.file(new).exists():
            return False
        with self._locked(new):
            with suppress(RecordUnreadable):
                self.history(new)
                return False
            content = b""
            for line in self.history(new, of=old):
                path = self._relative(line.path)
                if line.ticker == old:
                    path = path.replace(f"{old}/", f"{new}/", 1)
                content += _line(replace(line, ticker=new, path=path), content)
            write_atomically(self.file(new), content)
            return True

    def _append(self, promotion: Promotion) -> None:
        path = self.file(promotion.ticker)
        before = path.read_bytes() if path.exists() else b""
        relative = replace(promotion, path=self._relative(promotion.path))
        write_atomically(path, before + _line(relative, before))

    def _read(self, line: bytes, crc: int, must_be_checked: bool) -> Promotion:
        """Check and parse a line.  crc: of all lines before it.  Raises ValueError."""
        body, check, _ = line.rpartition(CHECK)
        if (check or must_be_checked) and line != body + _ending(zlib.crc32(body, crc)):
            raise ValueError("damage: its checksum is not that of the lines up to it")
        promotion = read_record(Promotion, body + b"}" if check else line)
        return replace(promotion, path=str(self.models / promotion.path))

    def _relative(self, path: str) -> str:
        return (
            Path(path).relative_to(self.models).as_posix()
            if Path(path).is_relative_to(self.models)
            else path
        )

    def _locked(self, ticker: str) -> AbstractContextManager[None]:
        return file_lock(self.file(ticker).with_name(f".{FILE}.lock"), self.lock_timeout_s)


def champion_for(home: HomePaths, ticker: str, session: date) -> Promotion | None:
    """The champion that a night of `session` may know: None where the current one is of a later
    session.

    Raises StoreError where its folder is gone or was changed: nothing is then scored against it or
    takes its place.
    """
    champion = Registry(home.models).champion(ticker)
    if champion is None or champion.session > session:
        return None
    check_intact(ticker, champion.path, champion.sha256)
    return champion


def check_intact(ticker: str, path: str, sha256: str | None) -> None:
    """Raise StoreError where the champion's folder is not what was promoted."""
    found = sha256_of(path)
    if found != sha256:
        what = "other content" if found and any(Path(path).rglob("*")) else "nothing"
        ways = ["restore it from a backup"]
        if any(
            each.intact()
            for each in Registry(Path(path).parents[1]).champion_history(ticker)[-2:-1]
        ):
            ways.append(f"put the champion before it back with `stockml rollback {ticker}`")
        ways.append(f"move {Path(path).with_name(FILE)} away, which begins a new history")
        raise StoreError(
            path, f"expected the champion as it was promoted, found {what}; {', or '.join(ways)}"
        )


def _line(promotion: Promotion, before: bytes) -> bytes:
    """The promotion's line, for a file that so far holds `before`."""
    line = json.dumps(
        asdict(promotion), sort_keys=True, ensure_ascii=False, default=as_text
    ).encode()[:-1]
    return line + _ending(zlib.crc32(before + line))


def _ending(crc: int) -> bytes:
    return CHECK + f"{crc:08x}".encode() + b'"}\n'


def promoted_tickers(home: HomePaths) -> list[str]:
    """The tickers with a promotion history; folders of other names, such as a copy made by hand,
    are ignored."""
    names = (path.parent.name for path in home.models.glob(f"*/{FILE}"))
    return sorted(filter(TICKER.fullmatch, names))
