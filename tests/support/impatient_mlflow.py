"""MLflow's server, giving up on an absent database after two attempts instead of ten, which take 101 s."""

import sys

from mlflow.store.db import utils

from deployments.servers import mlflow_program

if __name__ == "__main__":
    utils.MAX_RETRY_COUNT = 2
    mlflow_program.main(int(sys.argv[1]), sys.argv[2])
