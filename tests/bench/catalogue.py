"""The figures, their targets on 2 cores, and the functions that measure them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the table. limit: the target, in `unit`; None for figures without one."""

    key: str
    says: str
    unit: str
    limit: float | None = None


# CPU seconds of `imports` on the machine that set the limits: 49 % of the first version's night of
# 12.8
IMPORTS_WHERE_SET = 6.27
BESIDE_IMPORTS = {"night cpu", "scheduled night", "25 scheduled", "universe", "hundreds"}
SCALES = {"ms": 1e-3, "s": 1.0, "min": 60.0, "GB": 1e9, "GFLOP/s": 1e9}

FIGURES: tuple[Figure, ...] = (
    Figure("parse", "parse and check a full payload of 6,300 sessions", "ms", 30),
    Figure("append", "append one session to 14,000 (lock, check, fsync, replace)", "ms", 25),
    Figure("read", "read 14,000 sessions, adjusted, as of a time", "ms", 10),
    Figure("import", "import 12,075 rows of CSV", "s", 1),
    Figure("baselines", "all baselines over 14,000 sessions", "ms", 20),
    Figure(
        "tutorial step",
        "tutorial training step (500 streams × 50 steps, 200+200+150 units)",
        "s",
        0.7,
    ),
    Figure("retrain", "nightly retrain of one ticker (10,000 sessions)", "s", 4),
    Figure("fine-tune", "nightly fine-tune for one new session", "s", 1),
    Figure("score", "a kept model scored beside every simple forecast (10,000 sessions)", "s", 0.3),
    Figure(
        "pretraining",
        "one pass of a pretrained network's member over 4 tickers of 3,000 sessions",
        "s",
    ),
    Figure("log", "log one night to MLflow (SQLite), plots and model included", "s", 3),
    Figure("first night", "a ticker's first night (retrain), whole process", "s"),
    Figure("night", "a night with one new session, whole process, cold", "s", 25),
    Figure("night cpu", "the same in CPU seconds", "s", 14),
    Figure("night again", "a night with nothing new, whole process", "s", 2),
    Figure("night memory", "peak memory of one night, its Prefect server included", "GB", 1.5),
    Figure(
        "scheduled night", "a scheduled night on `stockml up`, CPU seconds of all processes", "s", 8
    ),
    Figure("25 scheduled", "25 scheduled nights that are due at once, on `stockml up`", "min", 6),
    Figure("first universe", "50 tickers' first night (retrain), Dask on 2 cores", "min"),
    Figure("universe", "50 tickers, one new session each, Dask on 2 cores", "min", 4),
    Figure("first hundreds", "500 tickers' first night (retrain), Dask on 2 cores", "min"),
    Figure("hundreds", "500 tickers, one new session each, Dask on 2 cores", "min", 10),
    Figure("deployments", "register 100 deployments, whole process", "s", 25),
    Figure("deployments again", "the same with nothing changed", "s"),
    Figure("disk", "a year of 50 tickers on the disk, by a measured month", "GB", 2),
    Figure(
        "imports", "imports of TensorFlow, Prefect, scipy, matplotlib and MLflow, CPU seconds", "s"
    ),
    Figure("few", "4 tickers' first night (retrain), Dask on 2 cores (the short run's)", "s"),
    Figure("numpy float32", "matrix product, NumPy, float32, 2048 × 2048", "GFLOP/s"),
    Figure("tensorflow float32", "matrix product, TensorFlow, float32, 2048 × 2048", "GFLOP/s"),
    Figure("tensorflow bfloat16", "matrix product, TensorFlow, bfloat16, 2048 × 2048", "GFLOP/s"),
)

PARTS = {
    "imports": "tests.bench.on_machine:imports",
    "machine": "tests.bench.on_machine:matrix_speed",
    "parse": "tests.bench.on_bars:parse",
    "append": "tests.bench.on_bars:append",
    "read": "tests.bench.on_bars:read",
    "import": "tests.bench.on_bars:import_csv",
    "baselines": "tests.bench.on_bars:baselines",
    "tutorial": "tests.bench.on_networks:tutorial_step",
    "retrain": "tests.bench.on_networks:retrain",
    "fine-tune": "tests.bench.on_networks:fine_tune",
    "score": "tests.bench.on_networks:score",
    "pretraining": "tests.bench.on_networks:pretraining",
    "tracking": "tests.bench.on_tracking:log_nights",
    "night": "tests.bench.on_nights:nights",
    "scheduled": "tests.bench.on_scheduled:scheduled_nights",
    "deployments": "tests.bench.on_deployments:deployments",
    "disk": "tests.bench.on_disk:month",
    "universe": "tests.bench.on_universe:universe_nights",
    "25": "tests.bench.on_scheduled:twenty_five",
    "hundreds": "tests.bench.on_universe:hundreds",
}
BY_NAME_ONLY = {"25", "hundreds"}  # they take some 10 and 30 minutes
PARTS_BESIDE_IMPORTS = {"night", "scheduled", "universe", *BY_NAME_ONLY}
