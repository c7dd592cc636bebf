"""Whether the installed Prefect and MLflow are of the ranges that this project is made for."""

from collections.abc import Iterator
from importlib.metadata import requires, version

from packaging.requirements import Requirement

from deployments.errors import WrongVersion

PLATFORMS = ("prefect", "mlflow")


def wrong_versions() -> Iterator[WrongVersion]:
    """Yield those outside of the package's own requirements: an older one lacks what is called."""
    for requirement in map(Requirement, requires("stockml") or ()):
        name, wanted = requirement.name, requirement.specifier
        if name in PLATFORMS and not wanted.contains(installed := version(name), prereleases=True):
            yield WrongVersion(name, str(wanted), installed)


def check_versions() -> None:
    """Raise WrongVersion for the first, before its server is started on a home's database."""
    for wrong in wrong_versions():
        raise wrong
