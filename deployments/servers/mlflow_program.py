"""The program `mlflow`, once its database is whole.

MLflow's server makes its tables in migrations that are no transaction on SQLite: killed among them, it would leave a
database that nobody can open again. So they are made the way a night makes them, before the server starts.
"""

import os
import runpy
from collections.abc import Mapping
from dataclasses import replace

from stockml.home import home
from stockml.tracking.client import Tracking


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Become `mlflow arguments...` over the database that MLFLOW_BACKEND_STORE_URI names."""
    replace(Tracking.of(home(environ)), uri=environ["MLFLOW_BACKEND_STORE_URI"]).prepare()
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
