"""The command line, the servers on one machine, Prefect deployments, and the replay feed."""
