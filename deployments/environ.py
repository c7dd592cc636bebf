"""The environment of this process, changed for a while."""

from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager


@contextmanager
def restored(environ: MutableMapping[str, str], names: Iterable[str]) -> Iterator[None]:
    """Whatever these variables are meanwhile, they are afterwards what they were before."""
    before = {name: environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            environ.pop(name, None)
            environ.update({} if value is None else {name: value})
