"""MLflow's server, which gives a database that is away up after two attempts: its own makes ten, within 101 s."""

import sys

from mlflow.store.db import utils

from deployments.servers import mlflow_program

if __name__ == "__main__":
    utils.MAX_RETRY_COUNT = 2
    mlflow_program.main(int(sys.argv[1]), sys.argv[2])
