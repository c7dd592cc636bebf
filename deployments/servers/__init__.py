"""Both pages and a worker on one machine, and the processes that they are."""
