"""A hash of the source that a step uses: the module, and every stockml module that it imports, directly or not."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_hash(*modules: str) -> str:
    """SHA-256 over the sources of the named stockml modules (`"training"`) and all they import, inside functions too.

    Reads the sources without importing them, so a night without training never loads TensorFlow to know its key.
    """
    closure: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in closure:
            closure.add(module)
            waiting.extend(_imported(module))
    digest = hashlib.sha256()
    for module in sorted(closure):
        digest.update(f"{module}\n".encode())
        digest.update(_source(module))
    return digest.hexdigest()


def _source(module: str) -> bytes:
    return (PACKAGE / f"{module}.py").read_bytes()


@cache
def _imported(module: str) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "stockml":
                found.update(alias.name for alias in node.names)
            elif node.module.startswith("stockml."):
                found.add(node.module.removeprefix("stockml."))
        elif isinstance(node, ast.Import):
            found.update(a.name.removeprefix("stockml.") for a in node.names if a.name.startswith("stockml."))
    return frozenset(name for name in found if (PACKAGE / f"{name}.py").is_file())
