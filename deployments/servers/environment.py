"""The environment variables for Prefect, MLflow and TensorFlow. Set by the command line, never at
import."""

import os
from collections.abc import Mapping, MutableMapping

from deployments.errors import ServerUnavailable
from stockml.home import HomePaths
from stockml.tracking.connection import SETTINGS as MLFLOW_SETTINGS
from stockml.tracking.connection import postgres_fault, without_password

RUN_DAYS, EVENT_DAYS = 21, 3  # how long Prefect keeps finished runs, and their events


def set_environment(home: HomePaths, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set every variable that the user has not set. Call it before Prefect, MLflow or TensorFlow is
    imported."""
    for name, value in settings_of(home, environ).items():
        environ.setdefault(name, value)


def settings_of(home: HomePaths, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables as this project wants them for the home; what the user has set in `environ` is
    to win."""
    password = environ.get("PREFECT_SERVER_API_AUTH_STRING")
    # this home's servers ask for it; a server elsewhere must not be sent it
    as_client = (
        {"PREFECT_API_AUTH_STRING": password}
        if password and not environ.get("PREFECT_API_URL")
        else {}
    )
    # a restarting PostgreSQL's answers; on SQLite they mean a full disk, reported at once
    if home.database:
        as_client["PREFECT_CLIENT_RETRY_EXTRA_CODES"] = "500,504"
    return as_client | {
        "STOCKML_HOME": str(home.root),
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_API_DATABASE_CONNECTION_URL": prefect_database(home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home.results),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # without these two a run's tasks stall about 2 s each on SQLite
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # retry for four minutes instead of one while others write to SQLite
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        # five hundred nights due at once queue for 20 minutes: only a run that no worker takes is
        # late
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "3600",
        # Prefect's own vacuum removes what ended long ago
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUN_DAYS * 86_400),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{EVENT_DAYS}D",
        # notice within minutes that a run's process is gone
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # send a night's log lines in one or two requests
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "5.0",
        "DO_NOT_TRACK": "true",
        **MLFLOW_SETTINGS,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # the list of language models that its page shows is the installed one, not another server's
        "MLFLOW_MODEL_CATALOG_URI": "",
        # what a run logs goes to its page; the terminal shows this project's own lines
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        # a run started on Prefect's page begins within seconds
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def check_database(home: HomePaths) -> None:
    """Raise ServerUnavailable where the home's PostgreSQL is away or refuses us: a server says it
    in its log."""
    if home.database and (fault := postgres_fault(home.mlflow_database)):
        place = without_password(home.mlflow_database)
        raise ServerUnavailable("PostgreSQL", place, "check STOCKML_DATABASE_URL", fault)


def prefect_database(home: HomePaths) -> str:
    file = home.prefect / "prefect.db"
    return (
        f"postgresql+asyncpg://{home.database}/prefect"
        if home.database
        else f"sqlite+aiosqlite:///{file}"
    )
