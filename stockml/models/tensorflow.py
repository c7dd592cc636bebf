"""Load TensorFlow: deterministic, with fixed thread counts, without the notices that no variable
can silence."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from numpy.typing import NDArray

STDERR = 2
# fixed, because the order of a sum, and with it the last bit of a weight, depends on it
THREADS = 2
NOTICE = re.compile(
    rb"WARNING: All log messages before absl"
    rb"|[IWE]\d{4} .*(port|cudart_stub|cuda_platform|cuda_executor|cpu_feature_guard)\.cc"
)


@cache
def tensorflow() -> Any:
    """TensorFlow, quiet, deterministic and with fixed thread counts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_notices():
        import keras  # noqa: F401 - its import prints them too
        import tensorflow as tf

        with suppress(RuntimeError):  # already running, with the threads that its owner chose
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)
            tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        tf.config.experimental.enable_op_determinism()
        tf.config.list_logical_devices()
    return tf


@contextmanager
def without_notices() -> Iterator[None]:
    """Capture what the process writes to standard error, then pass it on without the known
    notices."""
    terminal = os.dup(STDERR)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)
            aside.seek(0)
            os.write(STDERR, b"".join(line for line in aside if not NOTICE.match(line)))


def values_of(variables: Sequence[Any]) -> list[NDArray[Any]]:
    return [variable.numpy() for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
