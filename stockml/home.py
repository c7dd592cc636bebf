"""Where state lives: one folder, `STOCKML_HOME`, and the paths inside it. Reading them creates
nothing."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from stat import S_IMODE, S_IWOTH
from urllib.parse import SplitResult, urlsplit

from stockml.errors import InvalidSetting

# what PostgreSQL's driver would repeat in its refusal
BAD_ESCAPE = re.compile("%(?!(?!00)[0-9A-Fa-f]{2})")
ESCAPED = "with / ? # @ % in the password as %2F %3F %23 %40 %25"
LOGIN = re.compile("[^/]*//[^/@]*:[^@]*@")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# refusals to send one repeat it
IN_HEADERS = ("MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "AWS_SESSION_TOKEN")
# an address would be cut off there, or cannot be encoded
UNSAFE_PATH = re.compile(r"[?%#\udc80-\udcff]|::")
# MLflow's, but for its folders
TRACKING = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
DATA_NAMES = ("prices.json", "store", "ledger", "models", "pretrained")


class _Within:
    """The path of this name inside a home."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: "HomePaths", _: type) -> Path:
        return home.root / self._name


@dataclass(frozen=True)
class HomePaths:
    """The folders of one installation, and the address of MLflow's files, `artifacts`.

    database: the PostgreSQL server, as user:password@host:port, that holds Prefect's and MLflow's
    tables; None for SQLite. tracking_uri: of MLflow.
    """

    root: Path
    store: Path
    artifacts: str
    tracking_uri: str = field(repr=False)
    database: str | None = field(default=None, repr=False)

    tickers = _Within("tickers.yaml")
    payloads = _Within("payloads")
    quota = _Within("quota")
    delistings = _Within("delistings.json")
    datasets = _Within("datasets")
    models = _Within("models")
    pretrained = _Within("pretrained")
    evaluations = _Within("evaluations")
    plots = _Within("plots")
    ledger = _Within("ledger")
    nights = _Within("nights")
    universe = _Within("universe")
    settings = _Within("settings")
    locks = _Within("locks")
    prefect = _Within("prefect")
    results = _Within("results")
    pretraining = _Within("pretraining")
    servers = _Within("servers.json")

    @property
    def mlflow_database(self) -> str:
        if self.database:
            return f"postgresql+psycopg://{self.database}/mlflow"
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def holds(self, path: str) -> bool:
        """Whether `path` is inside this home, not in the one that this home was copied from."""
        return path.startswith((f"{self.root}/", f"{self.store}/"))

    @property
    def in_use(self) -> bool:
        """Whether a night or an import has stored something here, or servers are up."""
        return _is_home(self.root) or self.servers.exists()

    def server(self, name: str) -> str | None:
        """Where `prefect`, `mlflow` or `prefect_api` is, or what else `stockml up` wrote; None if
        it cannot be read."""
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads(self.servers.read_text())[name])
        return None


@contextmanager
def owner_only() -> Iterator[None]:
    """Within the block, create files for their owner only (0700, 0600), in this process and in
    those it starts."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(home: HomePaths) -> None:
    """Take all rights to a home's folder, and so to its content, from group and others, if this
    user owns it.

    A folder that was there before the home, and a home of an earlier version, can be open to them.
    """
    with suppress(OSError):
        stat = home.root.stat()
        if stat.st_mode & 0o077 and stat.st_uid == os.geteuid() and home.in_use:
            home.root.chmod(S_IMODE(stat.st_mode) & ~0o077)


def current_home(environ: Mapping[str, str] = os.environ) -> HomePaths:
    """The installation in STOCKML_HOME, else in `~/.stockml`. Raises InvalidSetting."""
    folder = environ.get("STOCKML_HOME")
    root = _folder("STOCKML_HOME", folder) if folder else user_root()
    if root == root.parent:  # a home is made private to its owner: here, the whole machine would be
        raise InvalidSetting("STOCKML_HOME", str(root), "a folder of its own")
    with suppress(OSError):  # it is not there yet
        theirs = takewhile(
            lambda place: place.stat().st_uid not in (0, os.geteuid()), (root, *root.parents)
        )
        if any(place.parent.stat().st_mode & S_IWOTH for place in theirs):  # it can run code
            wanted = "a folder of your own (another user made this one, where all may write)"
            raise InvalidSetting("STOCKML_HOME", str(root), wanted)
    if UNSAFE_PATH.search(str(root)):
        wanted = "a folder with a path in UTF-8, without ? % # and ::, which addresses misread"
        raise InvalidSetting("STOCKML_HOME", str(root), wanted)
    _check_secrets(environ)
    if environ.get("STOCKML_STATE"):
        wanted = (
            "nothing: a home is one folder; let all machines mount it, and name it in STOCKML_HOME"
        )
        raise InvalidSetting("STOCKML_STATE", environ["STOCKML_STATE"], wanted)
    home = HomePaths(
        root=root,
        database=_database(environ),
        store=_folder(
            "STOCKML_STORE", environ.get("STOCKML_STORE") or str(root / "store"), inside=root
        ),
        artifacts=environ.get("STOCKML_ARTIFACTS") or (root / "artifacts").as_uri(),
        tracking_uri=_tracking(environ),
    )
    return home if home.tracking_uri else replace(home, tracking_uri=home.mlflow_database)


def _folder(name: str, path: str, inside: Path | None = None) -> Path:
    """The path, resolved; unless directly `inside` a home, it must not lead over a dangling
    link."""
    # as `docker run --env-file` leaves them: a different folder
    if path != path.strip("\"' \t\r\n"):
        raise InvalidSetting(name, path, "a folder, without quotes or spaces around it")
    if "://" in path:
        raise InvalidSetting(name, path, "a folder, which a volume may be mounted at")
    try:
        folder = Path(path).expanduser()
        dangling = (
            parent
            for parent in (folder, *folder.parents)
            if parent.is_symlink() and not parent.exists()
        )
        if folder.parent != inside and (link := next(dangling, None)):
            raise InvalidSetting(
                name, path, f"a folder that is there (mount the disk that {link} leads to)"
            )
        return folder.resolve()
    except (RuntimeError, OSError) as error:  # ~ of an unknown user; a symlink loop
        raise InvalidSetting(name, path, f"a path that leads to a folder ({error})") from error


def checked_address(name: str, url: str) -> str:
    """`url`, if it is read as meant. Raises InvalidSetting, which does not repeat `url`: it may
    hold a password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.port != 0 and not _has_unescaped_password(parts):
            return url
    raise InvalidSetting(
        name, "…", f"an address whose port, if there is one, is from 1 to 65535, {ESCAPED}"
    )


def _has_unescaped_password(parts: SplitResult) -> bool:
    """Whether an unescaped `/`, `?`, `#` or `@` ends the password early: the rest would be shown,
    or looked up."""
    has_two_ats = parts.netloc.count("@") > 1 and parts.scheme not in ("http", "https")
    return has_two_ats or (bool(parts.netloc) and "@" in parts.path + parts.query + parts.fragment)


def _check_secrets(environ: Mapping[str, str]) -> None:
    """Raise InvalidSetting for a secret that errors, runs or stored addresses would show; it is not
    repeated."""
    for name in ("STOCKML_STATE", "STOCKML_STORE", "STOCKML_ARTIFACTS"):
        if LOGIN.match(environ.get(name, "")):
            raise InvalidSetting(
                name, "…", "an address without a password; AWS_SECRET_ACCESS_KEY takes that of S3"
            )
    for name in PROXIES:
        proxy = environ.get(name, "")
        # as its users read it
        checked_address(name, proxy if "://" in proxy else f"http://{proxy}")
    for name in IN_HEADERS:
        secret = environ.get(name, "")
        if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
            raise InvalidSetting(
                name, "…", "letters, digits and signs in ASCII, without a line end"
            )


def _tracking(environ: Mapping[str, str]) -> str:
    """The address of MLflow that the environment names; empty without one. Raises
    InvalidSetting."""
    uri = checked_address("MLFLOW_TRACKING_URI", environ.get("MLFLOW_TRACKING_URI", ""))
    scheme = urlsplit(uri).scheme
    if scheme.partition("+")[0] in TRACKING or uri in ("", "databricks"):
        return uri
    from importlib.metadata import entry_points

    if scheme in entry_points(group="mlflow.tracking_store").names:  # of a plugin
        return uri
    bound = (
        "the address of an MLflow server, http://host:port, or of a database, "
        "sqlite:////folder/mlflow.db"
    )
    raise InvalidSetting("MLFLOW_TRACKING_URI", "…", bound)


def _database(environ: Mapping[str, str]) -> str | None:
    """user:password@host:port, None without a database. Raises InvalidSetting, which does not
    repeat the URL."""
    url = environ.get("STOCKML_DATABASE_URL", "")
    if not url:
        return None
    bound = f"postgresql://user:password@host:port, {ESCAPED}"
    with suppress(ValueError):
        parts = urlsplit(url)
        is_valid = parts.scheme in ("postgresql", "postgres") and parts.hostname and parts.port != 0
        if is_valid and not _has_unescaped_password(parts) and not BAD_ESCAPE.search(parts.netloc):
            if not parts.query:
                return parts.netloc
            bound = (
                "postgresql://user:password@host:port and no ?name=value after it; PGSSLMODE "
                "asks for TLS"
            )
    raise InvalidSetting("STOCKML_DATABASE_URL", "…", bound)


def user_root() -> Path:
    """`~/.stockml`. Raises InvalidSetting for a user who has no home folder, which libraries need
    too."""
    try:
        return Path.home().absolute() / ".stockml"
    except RuntimeError as error:
        raise InvalidSetting(
            "HOME", "nothing", "a folder, as this user has none of their own"
        ) from error


def _is_home(root: Path) -> bool:
    """Whether it holds a file: a failed command, on a full disk say, may have left empty
    folders."""
    paths = (root / name for name in DATA_NAMES)
    return any(
        path.is_file() or any(file.is_file() for file in path.rglob("[!.]*")) for path in paths
    )
