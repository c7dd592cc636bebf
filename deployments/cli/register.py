"""`python -m deployments.cli.register`: tell Prefect of the home's tickers."""

from deployments.cli.tickers import register_all
from stockml.home import current_home

if __name__ == "__main__":
    print(*register_all(current_home()), sep="\n")
