"""Prefect's server as it is run here: its tokens' key and its page. A server that runs: test_servers_files.py."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import prefect
import pytest

from deployments.servers.databases import create_prefect
from deployments.servers.environment import settings_of
from deployments.servers.prefect_program import token_key
from stockml.home import HomePaths


def test_the_token_key_is_kept_unless_it_was_cut_short(tmp_path: Path) -> None:
    key = token_key(tmp_path)
    assert token_key(tmp_path) == key
    (tmp_path / "tokens.key").write_bytes(key[:5])
    assert len(token_key(tmp_path)) == len(key)
    assert not token_key(tmp_path).startswith(key[:5])


def test_the_page_is_kept_in_the_home_if_the_installation_belongs_to_another_user() -> None:
    """Prefect creates its page's files when it is first started, and has no page if it may not."""
    asked = """
        import os
        from deployments.servers.prefect_program import page_folder
        environ = {"PREFECT_HOME": "/home/prefect"}
        print(page_folder(environ | {"PREFECT_SERVER_UI_STATIC_DIRECTORY": "/mine"}), end=" ")
        os.geteuid() or os.setuid(65534)
        print(page_folder(environ), end="")
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(asked)], capture_output=True, text=True, check=True)
    own = os.geteuid() != 0 and os.access(Path(prefect.__file__).parent / "server", os.W_OK)
    assert ended.stdout == f"None {None if own else '/home/prefect/page'}"


def test_a_server_imports_nothing_from_the_folder_in_which_its_command_was_run(tmp_path: Path) -> None:
    """Which may hold a script that is named as a package is, or be one, such as /tmp, that others write to."""
    server = """
        import sys
        from alembic.script import ScriptDirectory
        from deployments.servers.databases import migrate_without_this_folder
        migrate_without_this_folder()
        from prefect.server.database.alembic_commands import alembic_config
        ScriptDirectory.from_config(alembic_config())
        print(sys.path)
    """
    child = [sys.executable, "-c", textwrap.dedent(server)]
    command = "import subprocess; from deployments.process import as_program; "
    command += f"as_program(lambda: lambda: subprocess.call({child}))"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    shown = subprocess.check_output([sys.executable, "-c", command], cwd=tmp_path, env=environ, text=True)
    assert not {"", ".", str(tmp_path)} & {*ast.literal_eval(shown)}


@pytest.mark.slow
def test_a_database_of_another_prefect_is_brought_up_to_date_before_a_command_serves_it(home: HomePaths) -> None:
    code = "from deployments.servers.prefect_program import _bring_up_to_date; from stockml.home import current_home; "
    create_prefect(home.prefect / "prefect.db")
    told = home.prefect / "migrated.txt"
    told.write_text("3.0.0\n")
    command = [sys.executable, "-c", f"{code}_bring_up_to_date(current_home().prefect)"]
    subprocess.run(command, env={**os.environ, **settings_of(home)}, check=True)
    assert told.read_text() == f"{prefect.__version__}\n"
