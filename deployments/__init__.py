"""How it is run: command line, servers for one machine, deployments, and the replay feed."""
