"""The benchmarks of `make bench`: speed and memory figures of this machine, through the project's
own entry points.

`python -m tests.bench` (all, about 20 minutes on 2 cores), `--fast` (under 3), `--only PART`
(repeatable). Each part runs in a separate process, so that its peak memory is its own; whole nights
run as users run them, by `stockml nightly`, against a replay feed and in a temporary home.
"""
