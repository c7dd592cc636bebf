"""MLflow's commands, giving up on an absent database after two attempts instead of ten, which take
101 s."""

import runpy

from mlflow.store.db import utils

if __name__ == "__main__":
    utils.MAX_RETRY_COUNT = 2
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
