"""The API key: kept out of sight, and redacted from every text that is shown, logged or stored."""

import logging
import re

from pydantic import SecretStr

MIN_SECRET_LENGTH = 5
FORM = re.compile(r"[A-Za-z0-9_-]{1,64}")
LOGGERS_OF_ADDRESSES = tuple(
    f"urllib3.{name}"
    for name in ("connection", "connectionpool", "poolmanager", "response", "util.retry")
)
PLACEHOLDER = re.compile(r".*your.*key.*|((api|my)[_-]?)*key|x+", re.IGNORECASE)
KEY_IN_TEXT = re.compile(
    r"((?:apikey|api[ _]key)(?:=|%3D| as |\"\s*:\s*\"))[^\s&\"'<>)|,]+", re.IGNORECASE
)


class ApiKey(SecretStr):
    """A key that is not revealed by `repr`, by tracebacks that show variables, or by pickle."""

    def __reduce__(self) -> str:
        raise TypeError("an API key is not pickled; read it where it is used")

    @property
    def fault(self) -> str | None:
        """What is wrong with the form of the key; None if it may be sent."""
        if PLACEHOLDER.fullmatch(self.get_secret_value()):
            return "the words that stand for a key in instructions"
        if FORM.fullmatch(self.get_secret_value()):
            return None
        return "one with characters that no key has" if self else "none"


def redacted(text: str, key: str | None = None) -> str:
    """`text` with `***` in place of keys: those in a URL or echoed in an answer, and each
    occurrence of `key`.

    A `key` of fewer than five characters (`demo`) stays: it is no secret, and could be part of any
    word or price.
    """
    if key and len(key) >= MIN_SECRET_LENGTH:
        text = re.sub(re.escape(key), "***", text, flags=re.IGNORECASE)
    return KEY_IN_TEXT.sub(r"\1***", text)


def redacted_bytes(content: bytes, key: str) -> bytes:
    return redacted(content.decode("utf-8", "surrogateescape"), key).encode(
        "utf-8", "surrogateescape"
    )


def excerpt(text: str, length: int = 200) -> str:
    """At most `length` characters on one line, printable and without keys; ends in `…` if there are
    more."""
    line = " ".join(redacted(text).split())
    cut = line if len(line) <= length else f"{line[: length - 1]}…"
    shown = "".join(c if c.isprintable() else "?" for c in cut)
    return shown.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """`text` on one line; what a terminal would obey instead of print is escaped as in Python:
    `\\x1b`."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in " ".join(text.split())
    )


def escape_markdown(text: str) -> str:
    """`text` as Markdown that shows it: nothing in it is a link, HTML or an image, which a page
    would fetch."""
    return text.replace("<", "&lt;").replace("[", "&#91;")


def brief(text: str, length: int) -> str:
    """An excerpt that keeps the advice, which is after the last `; `, and cuts the rest between
    words."""
    text = " ".join(redacted(text).split())
    problem, semicolon, advice = text.rpartition("; ")
    if len(text) <= length or not semicolon or len(advice) > length // 2:
        return excerpt(text, length)
    return f"{excerpt(problem, length - len(advice) - 2).rpartition(' ')[0]} …; {excerpt(advice)}"


def _without_keys(record: logging.LogRecord) -> bool:
    record.msg, record.args, record.exc_info = redacted(record.getMessage()), (), None
    return True


def keep_keys_out_of_logs() -> None:
    """Redact urllib3's log records, which hold whole URLs: of every request (DEBUG), of malformed
    headers (WARNING)."""
    for name in LOGGERS_OF_ADDRESSES:
        logging.getLogger(name).addFilter(_without_keys)  # once, however often this is called
