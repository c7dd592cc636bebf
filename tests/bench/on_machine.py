"""The machine's description and its matrix-product speed, so that figures can be compared as
ratios."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np

from tests.bench.measuring import Measured, Scene, own_peak, timed
from tests.bench.processes import ended

SIZE = 2048
FLOP = 2.0 * SIZE**3
IMPORTED = (
    "tensorflow",
    "prefect.flows",
    "scipy.stats",
    "matplotlib.backends.backend_agg",
    "mlflow.pyfunc",
)
PACKAGES = (
    "numpy",
    "pandas",
    "pyarrow",
    "tensorflow",
    "keras",
    "prefect",
    "prefect_dask",
    "mlflow",
    "stockml",
)


def described() -> dict[str, str]:
    """CPU, usable cores, memory, system, Python, and the versions of the main packages."""
    import psutil

    machine = {
        "CPU": _cpu_model(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": sys.version.split()[0],
    }
    of_package = packages_distributions()  # TensorFlow's has other names, and Dask is an extra
    return machine | {name: version(of_package[name][0]) for name in PACKAGES if name in of_package}


def matrix_speed(scene: Scene) -> Iterator[Measured]:
    """Products of 2048 × 2048 matrices, with as many threads as the project's training uses in
    TensorFlow."""
    runs = scene.runs(15, 5)
    left, right = np.random.default_rng(1).random((2, SIZE, SIZE), dtype=np.float32)
    yield _as_speed(timed("numpy float32", lambda run: left @ right, runs=runs))

    for kind in ("float32", "bfloat16"):
        product = tensorflow_product(kind)
        yield _as_speed(
            timed(f"tensorflow {kind}", lambda run, product=product: product(), runs=runs)
        )


def imports(scene: Scene) -> Iterator[Measured]:
    """CPU seconds of the imports of a night in a new process, without the interpreter's exit."""
    code = f"import os, {', '.join(IMPORTED)}; os._exit(0)"
    runs = [ended([sys.executable, "-c", code], os.environ) for _ in range(scene.runs(4, 2))]
    first, *others = (run.cpu_s for run in runs)  # the first reads from the disk
    yield Measured("imports", tuple(others), max(run.largest_bytes for run in runs), first=first)


def tensorflow_product(kind: str) -> Callable[[], object]:
    """Return a function that multiplies two SIZE × SIZE matrices of that type (FLOP operations)."""
    from stockml.models.tensorflow import tensorflow

    tf = tensorflow()
    both = np.random.default_rng(1).random((2, SIZE, SIZE), dtype=np.float32)
    left, right = (tf.cast(tf.constant(values), kind) for values in both)
    return lambda: tf.matmul(left, right).numpy()


def _as_speed(measured: Measured) -> Measured:
    return Measured(
        measured.figure, tuple(FLOP / seconds for seconds in measured.values), own_peak()
    )


def _cpu_model() -> str:
    """The CPU's name: from /proc/cpuinfo, where x86 kernels give it, else as the system calls
    it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
