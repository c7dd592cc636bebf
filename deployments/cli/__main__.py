"""`python -m deployments.cli`: the command line where no script `stockml` is installed."""

from deployments.cli.app import main

if __name__ == "__main__":
    main()
