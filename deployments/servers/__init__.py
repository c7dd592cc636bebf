"""The servers of both pages and the worker on one machine, and their processes."""
