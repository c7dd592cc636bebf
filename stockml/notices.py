"""TensorFlow's notices while it loads: no variable switches them off, and they are of no use to whoever waits."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
NOTICE = re.compile(
    rb"WARNING: All log messages before absl"
    rb"|[IWE]\d{4} .*(port\.cc|cudart_stub\.cc|cuda_platform\.cc|cuda_executor\.cc|cpu_feature_guard\.cc)"
)


@contextmanager
def without_notices() -> Iterator[None]:
    """Hold back what the process writes to its standard error, then pass it on without the known notices."""
    try:
        terminal = os.dup(STDERR)
    except OSError:  # a process without a standard error shows nothing anyway
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)
            aside.seek(0)
            os.write(STDERR, b"".join(line for line in aside if not NOTICE.match(line)))
