"""Run the cells of a notebook in docs/ in order and collect their outputs.

`python -m tests.support.notebook` rewrites the outputs of docs/notebook.ipynb, on the home in
tests/homes/three-nights.zip; with the path of another notebook, that one's.
"""

import ast
import base64
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.support.old_homes import restored_to

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def outputs(cells: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield each code cell's outputs in Jupyter's format; exceptions of a cell propagate."""
    names: dict[str, Any] = {}
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), start=1):
        tree = ast.parse("".join(cell["source"]))
        last = (
            ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        )  # type: ignore[attr-defined]
        said = io.StringIO()
        with redirect_stdout(said):
            exec(compile(tree, f"cell {number}", "exec"), names)
            value = eval(compile(last, f"cell {number}", "eval"), names) if last else None
        text = [
            {
                "name": "stdout",
                "output_type": "stream",
                "text": said.getvalue().splitlines(keepends=True),
            }
        ]
        result = {
            "data": _shown(value),
            "execution_count": number,
            "metadata": {},
            "output_type": "execute_result",
        }
        yield [*(text if said.getvalue() else []), *([result] if value is not None else [])]


def _shown(value: Any) -> dict[str, Any]:
    if hasattr(value, "_repr_png_"):
        return {
            "image/png": base64.b64encode(value._repr_png_()).decode(),
            "text/plain": ["the figure"],
        }
    if hasattr(value, "savefig"):
        png = io.BytesIO()
        value.savefig(png, format="png", dpi=80)
        return {
            "image/png": base64.b64encode(png.getvalue()).decode(),
            "text/plain": ["the figure"],
        }
    found: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    if hasattr(value, "_repr_html_"):
        found["text/html"] = value._repr_html_().splitlines(keepends=True)
    return found


def main(path: Path) -> None:
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STOCKML_HOME"] = str(restored_to(Path(folder) / "home").root)
        for number, (cell, shown) in enumerate(
            zip(code, outputs(notebook["cells"]), strict=True), start=1
        ):
            cell.update(execution_count=number, outputs=shown)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else NOTEBOOK)
