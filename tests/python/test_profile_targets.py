"""guaco profile: the kinds of processes it attaches to, and those it refuses."""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
from deadline import DEADLINE_S
from test_profile import BUSY, VERSIONS, find, profile

def one(versions):
    for version in versions:
        if path := find(version):
            return pathlib.Path(path).resolve()
    pytest.skip(f"none of {versions} here")


@pytest.fixture
def shared():
    """An interpreter whose core is libpython, and that library."""
    for version in VERSIONS:
        path = find(version)
        library = path and pathlib.Path(path).resolve().parents[1] / (
            f"lib/libpython{version}.so.1.0"
        )
        if library and library.is_file():
            return pathlib.Path(path).resolve(), library
    pytest.skip("no interpreter with a shared library here")


def home_of(python):
    words = [python, "-c", "import sys; print(sys.prefix)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def ready(start, words, **env):
    program = start(*map(str, words), env=env)
    program.read_until("ready")
    return program


def is_seen(exe, pid):
    done = profile(exe, "-n", "-s", 0.2, "-r", 0.005, "-p", pid)
    assert done.returncode == 0, done.stderr
    names = re.findall(r":(\w+|<module>)(?=[; ])", done.stdout)
    assert {"top", "middle"} <= set(names), done.stdout


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "target.py"
    path.write_text(BUSY)
    return path


# ---- files -------------------------------------------------------------------------


def test_an_executable_that_was_deleted(exe, start, source, tmp_path):
    python = one(["3.14", "3.15"])
    copy = shutil.copy(python, tmp_path / "interpreter")
    home = home_of(python)
    program = ready(start, [copy, "-S", source], PYTHONHOME=home)
    os.unlink(copy)
    is_seen(exe, program.pid)


def test_a_library_that_was_upgraded_in_place(exe, start, source, tmp_path, shared):
    python, library = shared
    copy = shutil.copy(library, tmp_path / library.name)
    program = ready(start, [python, "-S", source], LD_LIBRARY_PATH=str(tmp_path))
    assert str(copy) in pathlib.Path(f"/proc/{program.pid}/maps").read_text()
    (tmp_path / "new").write_bytes(b"\x7fELF, but another file")
    os.replace(tmp_path / "new", copy)
    if os.geteuid() != 0:
        pytest.skip("a deleted library is reached through map_files, as root")
    is_seen(exe, program.pid)


def test_a_stripped_library(exe, start, source, tmp_path, shared):
    if shutil.which("strip") is None:
        pytest.skip("needs strip")
    python, library = shared
    subprocess.run(["strip", "-s", "-o", tmp_path / library.name, library], check=True)
    program = ready(start, [python, "-S", source], LD_LIBRARY_PATH=str(tmp_path))
    is_seen(exe, program.pid)


def test_an_embedded_interpreter(exe, start, source, tmp_path, shared):
    python, library = shared
    include = library.parents[1] / "include" / library.name.partition(".so")[0][3:]
    if shutil.which("cc") is None or not (include / "Python.h").is_file():
        pytest.skip("needs a compiler and the headers")
    (tmp_path / "host.c").write_text(
        "#include <Python.h>\n#include <stdio.h>\n"
        "int main(int c, char **v) {\n"
        "    (void)c;\n    Py_Initialize();\n"
        '    return PyRun_SimpleFile(fopen(v[1], "r"), v[1]);\n}\n'
    )
    words = ["cc", "-I", include, "-o", tmp_path / "host", tmp_path / "host.c", library]
    subprocess.run([*words, f"-Wl,-rpath,{library.parent}"], check=True)
    program = ready(start, [tmp_path / "host", source], PYTHONHOME=home_of(python))
    is_seen(exe, program.pid)


# ---- namespaces ------------------------------------------------------------------------


def test_a_process_in_a_container_seen_from_the_host(exe, start, source, tmp_path):
    """Its files are not the host's, and its pids are others."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    python = one(["3.14", "3.15"])
    inside = tmp_path / "inside"
    inside.mkdir()
    script = (
        f"mount -t tmpfs none {inside} && cp {python} {inside}/interpreter && "
        f"cp {source} {inside}/target.py && cd {inside} && "
        f"exec {inside}/interpreter -S target.py"
    )
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    try:
        program = ready(start, words, PYTHONHOME=home_of(python))
    except AssertionError as why:
        pytest.skip(f"unshare is not permitted here: {why}")
    children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children")
    pid = int(children.read_text().split()[0])
    assert not (inside / "interpreter").exists()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"NSpid:.*\t1\n", status)
    is_seen(exe, pid)
    # Its threads' ids are those inside; what the kernel says of them is found.
    done = profile(exe, "--mode", "cpu", "-n", "-s", 0.2, "-r", 0.005, "-p", pid)
    assert ":middle" in done.stdout, done.stderr


# ---- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.7", "3.6", "2.7"])
def test_a_version_that_is_not_known(exe, start, source, tmp_path, version):
    path = find(version)
    if path is None:
        pytest.skip(f"no python{version} here")
    old = tmp_path / "old.py"
    old.write_text("import sys\nsys.stdout.write('ready\\n')\nsys.stdout.flush()\nwhile 1: pass\n")
    program = ready(start, [path, "-S", old])
    done = profile(exe, "-p", program.pid)
    assert done.returncode == 1
    assert "is not among the known versions (3.8 to 3.15)" in done.stderr


def test_it_never_runs_hot_on_a_process_that_ends(exe, start, source):
    """Its target is a zombie that nobody waits for: nothing to read, ever."""
    python = one(reversed(VERSIONS))
    program = ready(start, [python, "-S", source])
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-p", str(program.pid)], stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + DEADLINE_S
    io = pathlib.Path(f"/proc/{recorder.pid}/status")
    while "voluntary_ctxt_switches:\t0\n" in io.read_text() and time.monotonic() < deadline:
        pass
    program.process.kill()  # not waited for
    before = os.times()
    assert recorder.wait(DEADLINE_S) == 0
    after = os.times()
    assert after.children_user - before.children_user < 5


def test_attaching_is_quick(exe, start, source):
    """5 ms are asked for on a quiet machine; processor time is what can be told here."""
    build = os.environ.get("GUACO_BUILD")
    if build is None:
        pytest.skip("GUACO_BUILD does not name a build folder")
    python = one(reversed(VERSIONS))
    program = ready(start, [python, "-S", source])
    probe = pathlib.Path(build) / "tests/profile/sample_probe"
    least = 1.0
    for _ in range(5):
        before = os.times()
        subprocess.run([probe, str(program.pid), "0"], capture_output=True, check=True)
        after = os.times()
        used = after.children_user - before.children_user
        used += after.children_system - before.children_system
        least = min(least, used)
    assert least <= 0.02, least

