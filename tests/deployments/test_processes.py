"""Started programs: how they end is reported, and none is left behind."""

import os
import re
import signal
import textwrap
import time

import psutil
import pytest

from deployments.servers import processes
from deployments.servers.processes import ServerFailed
from deployments.servers.stack import watch
from tests.support.patience import PATIENCE_S, until


def started(name, folder, code):
    """Start a program with this code."""
    (folder / "program.py").write_text(textwrap.dedent(code))
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    return processes.start(processes.Program(name, "program", [], environ), folder / "log")


def stopping_at(words, said):
    """A `say` that keeps what it is told, and presses Ctrl-C at these words."""

    def say(told):
        said.append(told)
        if words in told:
            raise KeyboardInterrupt

    return say


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import os; os.write(2, b'no table \\xff'); raise SystemExit(3)",
            r"code 3 \(no table \ufffd\); see .*log",
        ),
        ("print('bye')", r"ended with code 0 \(bye\)"),
    ],
)
def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path, code, words):
    """If it left none, there may have been no room for them."""
    (tmp_path / "log").write_text("of the start before\n")
    child = started("Prefect", tmp_path, code)
    child.process.wait(PATIENCE_S)
    with pytest.raises(ServerFailed, match=words):
        child.check()
    with pytest.raises(KeyboardInterrupt):
        watch([child], stopping_at("", said := []))
    assert re.search(words, said[0])
    processes.stop([child])
    child.log.unlink()
    assert "log empty" in str(child.failure())


def test_the_server_of_another_home_on_the_same_port_is_not_taken_for_the_child(tmp_path):
    """`stockml up` of two homes at once: the slower one changed the other's deployments."""
    serving = """
        import time
        from http.server import HTTPServer, SimpleHTTPRequestHandler

        if {port}:
            time.sleep(1)  # as long as its imports take
        server = HTTPServer(("127.0.0.1", {port}), SimpleHTTPRequestHandler)
        print(server.server_port, flush=True)
        server.serve_forever()
    """
    (tmp_path / "late").mkdir()
    other = started("Prefect", tmp_path, serving.format(port=0))
    until(lambda: other.log.read_text().endswith("\n"))
    port, deadline = int(other.log.read_text()), time.monotonic() + PATIENCE_S
    url = f"http://127.0.0.1:{port}"
    processes.wait_until_healthy(other, url, deadline)
    late = started("Prefect", tmp_path / "late", serving.format(port=port))
    with pytest.raises(ServerFailed, match="Address already in use"):
        processes.wait_until_healthy(late, url, deadline)
    processes.stop([other, late])


@pytest.mark.slow
def test_a_program_that_keeps_dying_is_started_again_after_growing_pauses_beside_the_others(
    tmp_path,
):
    """Two kills of the worker within a minute ended both pages, and a night without memory all
    later ones."""
    for name in ("steady", "dying"):
        (tmp_path / name).mkdir()
    steady = started("MLflow", tmp_path / "steady", "import time; time.sleep(600)")
    dying = started("the worker", tmp_path / "dying", "print('no memory'); raise SystemExit(1)")
    children, said = [steady, dying], list[str]()
    with pytest.raises(KeyboardInterrupt):
        watch(children, stopping_at("started again in 4 s", said))
    pauses = [told.rpartition("started again in ")[2] for told in said[::2]]
    assert pauses == ["1 s", "2 s", "4 s"]
    assert all("the worker" in told for told in said)
    assert (children[0], steady.process.poll()) == (steady, None)
    assert children[1].process.pid != dying.process.pid
    processes.stop(children)


ORDERLY = """
    import signal, sys, time
    def leave(*_):
        time.sleep(0.2)  # what it does to leave in order
        print("in order", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_program_without_children_has_time_to_end_in_order_when_its_parent_is_gone(tmp_path):
    child = started("orderly", tmp_path, ORDERLY)
    assert child.process.stdin
    until(lambda: child.log.read_text() == "ready\n")
    child.process.stdin.close()  # as the end of this process would
    assert child.process.wait(PATIENCE_S) == 0
    assert child.log.read_text() == "ready\nin order\n"


@pytest.mark.slow
def test_the_log_of_a_server_that_runs_for_years_keeps_its_newest_lines_alone(tmp_path):
    child = started("orderly", tmp_path, ORDERLY)
    until(lambda: child.log.read_text() == "ready\n")
    with child.log.open("a") as log:
        log.writelines(f"night {at:09d}\n" for at in range(2**20))
    look = child.process.poll

    def stop_and_look():
        if look() is None:
            os.kill(child.process.pid, signal.SIGTERM)
            child.process.wait(PATIENCE_S)
        return look()

    child.process.poll = stop_and_look  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        watch([child], stopping_at("in order", []))
    kept = child.log.read_text().splitlines()
    assert (len(kept), kept[0], kept[-1]) == (2**19, f"night {2**19 + 1:09d}", "in order")
    processes.stop([child])


STUBBORN = """
    import signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_stubborn_program_and_its_children_are_ended(tmp_path):
    child = started("stubborn", tmp_path, STUBBORN)
    until(lambda: child.log.read_text() == "ready\n")
    process = psutil.Process(child.process.pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) == 2
    processes.stop([child], patience_s=0.2)
    assert not any(each.is_running() for each in family)


PARENT = """
    import subprocess, sys, time
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(left.pid, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_program_leaves_is_ended_before_it_is_started_again(tmp_path):
    child = started("MLflow", tmp_path, PARENT)
    until(lambda: child.log.read_text().endswith("\n"))
    left = psutil.Process(int(child.log.read_text()))
    child.process.kill()
    child.process.wait()
    processes.stop([processes.restart(child)])
    assert not left.is_running()
