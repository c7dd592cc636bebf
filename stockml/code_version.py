"""The version of the running code: a hash of what a step's sources mean, and the git commit."""

import ast
import hashlib
import subprocess
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parent
# what a night runs
NIGHT_PACKAGES = tuple(PACKAGE.parent / name for name in ("stockml", "tasks", "flows"))
NUMBER_LIBRARIES = ("tensorflow", "keras", "numpy", "pandas", "scipy", "scikit-learn")
TEXTS_ONLY = {"errors"}  # the wording of an error affects no number


@cache
def code_hash(*modules: str) -> str:
    """SHA-256 of the meaning of the named stockml modules (`"training.train"`) and of all stockml
    modules they import.

    Imports inside functions count; comments, docstrings and the module `errors` do not. The
    versions of the numerical libraries are included. Sources are parsed, not imported, so that a
    night without training need not load TensorFlow to compute its key. A process keeps the first
    hash it computes: later edits to the files do not change the code that it runs. Raises
    ModuleNotFoundError.
    """
    return _digest(sorted(sources(*modules, without=TEXTS_ONLY).items()))


def sources(*modules: str, without: Collection[str] = ()) -> dict[str, Path]:
    """Source file of each named stockml module, and of every stockml module they import except
    `without`, by name."""
    files: dict[str, Path] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in files and module not in without:
            files[module] = _file(module)
            pending.extend(meaning_and_imports(files[module].read_text(encoding="utf-8"))[1])
    return files


def _digest(sources: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256(" ".join(number_libraries()).encode())
    for name, file in sources:
        digest.update(
            f"{name} {meaning_and_imports(file.read_text(encoding='utf-8'))[0]}\n".encode()
        )
    return digest.hexdigest()


def number_libraries() -> list[str]:
    """The libraries whose versions can change a number, each as `numpy==2.3.4`."""
    return [f"{name}=={_version(name)}" for name in NUMBER_LIBRARIES]


@cache
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return version(f"{library}-cpu")  # the same module without its parts for a GPU


@cache
def checkout() -> tuple[str | None, str | None]:
    """The commit and the SHA-256 of uncommitted tracked changes (None: none) at the first call; or
    neither."""
    # the second fails in another project's checkout
    revisions = _git("rev-parse", "HEAD", "HEAD:./__init__.py")
    changes = _git("diff", "HEAD", "--no-ext-diff") if revisions else None
    return revisions and revisions.split()[0], changes and hashlib.sha256(
        changes.encode()
    ).hexdigest()


@cache
def files_hash(*folders: Path) -> str:
    """SHA-256 of the sources in these folders, as they are at this process's first call: it runs no
    later edit."""
    return hashlib.sha256(
        b"".join(f.read_bytes() for each in folders for f in sorted(each.rglob("*.py")))
    ).hexdigest()


def in_words() -> str:
    """The version, a hash of the sources, and in a checkout the commit."""
    digest = files_hash(*NIGHT_PACKAGES, PACKAGE.parent / "deployments")
    commit, changes = checkout()
    of_commit = f", commit {commit[:12]}{' with changes' if changes else ''}" if commit else ""
    return f"stockml {version('stockml')} (code {digest[:8]}{of_commit})"


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def meaning_and_imports(source: str) -> tuple[str, frozenset[str]]:
    """SHA-256 of the syntax tree without docstrings, comments and layout; and the stockml modules
    imported."""
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):
        imported.update(_imported_modules(node))
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [statement for statement in body if not _is_docstring(statement)]
        # Python 3.12 reads an empty text at the end of `{day:{layout}}`
        if isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
        for name, value in ast.iter_fields(node):
            if value is None or value == []:  # 3.12 adds such a field, and 3.13 does not show them
                delattr(node, name)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(imported)


def _file(module: str) -> Path:
    """The source file of a module such as `"prices.store"`, or of a package."""
    path = PACKAGE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        raise ModuleNotFoundError(
            f"expected the module stockml.{module} at {file}, found none; correct the name"
        )
    return file


def _imported_modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (
            alias.name.removeprefix("stockml.")
            for alias in node.names
            if alias.name.startswith("stockml.")
        )
    elif (
        isinstance(node, ast.ImportFrom)
        and node.level == 0
        and (node.module or "").split(".")[0] == "stockml"
    ):
        room = (node.module or "").removeprefix("stockml").removeprefix(".")
        if room and not PACKAGE.joinpath(*room.split(".")).is_dir():
            yield room
        else:  # `from stockml.models import vintage_set`
            yield from (f"{room}.{alias.name}".removeprefix(".") for alias in node.names)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PACKAGE), *arguments]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
