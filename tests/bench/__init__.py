"""What `make bench` measures: every speed and memory figure, on the machine at hand, through the project's own entry
points.

`python -m tests.bench` (all, about 20 minutes on 2 cores), `--fast` (under 3), `--only PART` (may be repeated). Each
part is measured in a process of its own, so that its peak memory is its own; whole nights run as users run them,
`stockml nightly`, against a replay feed and in a home that is removed afterwards.
"""
