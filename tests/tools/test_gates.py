"""Each gate finds the violation it is there for, and passes what is right."""

import pathlib
import shutil
import subprocess
import sys

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def tree(tmp_path):
    """A small tree that every gate accepts: tree.write(path, text) changes it."""

    class Tree:
        root = tmp_path

        def write(self, path, text):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

        def gate(self, name, *arguments):
            """(exit status, output) of tools/NAME.py on this tree."""
            done = subprocess.run(
                [sys.executable, TOOLS / f"{name}.py", tmp_path, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=tmp_path,
            )
            return done.returncode, done.stdout

    made = Tree()
    made.write("include/guaco/error.h", "#define GUACO_API\n")
    made.write("src/base/buf.h", "int guaco__buf(void);\n")
    made.write("src/io/loop.h", "#include <uv.h>\n")
    made.write(
        "src/io/loop.c",
        '#include "loop.h"\n#include "base/buf.h"\n#include "guaco/error.h"\n'
        "#include <unistd.h>\n",
    )
    return made


# ---- layers -----------------------------------------------------------------


def test_layers_accept_what_the_table_allows(tree):
    assert tree.gate("check_layers") == (0, "")


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("src/base/map.c", '#include "io/loop.h"', "base may not use io"),
        ("src/base/map.c", '#include "../io/loop.h"', "base may not use io"),
        ("src/base/map.c", "#include <unistd.h>", "base may not use <unistd.h>"),
        ("src/http/h1.c", "#include <uv.h>", "http may not use <uv.h>"),
        ("src/http/h1.c", "#include <sys/socket.h>", "may not use <sys/socket.h>"),
        ("src/server/conn.c", "# include <Python.h>", "may not use <Python.h>"),
        ("src/base/map.c", '#include "nowhere.h"', "leads to no folder"),
        ("src/base/map.c", '#include "guaco/nowhere.h"', "leads to no folder"),
        ("src/base/map.c", "#include <nowhere.h>", "may not use <nowhere.h>"),
        ("src/base/map.c", "#include <guaco/error.h>", "use quotes"),
        ("src/base/map.c", "#include HEADER", "by macro"),
        ("src/extra/a.c", "", "src/extra is not in the layer table"),
        ("include/guaco/strange.h", "", "belongs to no layer"),
        ("include/guaco/slice.h", '#include "base/buf.h"', "a public header may not"),
        ("include/guaco/slice.h", "#include <uv.h>", "may not use <uv.h>"),
    ],
)
def test_layers_refuse(tree, path, line, said):
    tree.write(path, line + "\n")
    status, text = tree.gate("check_layers")
    assert status == 1
    assert path in text and said in text


# ---- function and file length -----------------------------------------------


def function(lines):
    return "int\nlong_one(void)\n{\n" + "    x();\n" * (lines - 3) + "}\n"


def test_a_function_of_70_lines_passes_and_one_of_71_does_not(tree):
    tree.write("src/base/a.c", function(70))
    assert tree.gate("check_functions") == (0, "")
    tree.write("src/base/a.c", function(71))
    status, text = tree.gate("check_functions")
    assert status == 1 and "long_one has 71 lines" in text


def test_a_long_function_passes_with_a_reason_only(tree):
    tree.write("src/base/a.c", function(90))
    tree.write("tools/long_functions.txt", "src/base/a.c long_one: one table\n")
    assert tree.gate("check_functions") == (0, "")
    tree.write("tools/long_functions.txt", "src/base/a.c long_one:\n")
    status, text = tree.gate("check_functions")
    assert status == 1 and "reason" in text


def test_an_exception_that_is_not_needed_is_refused(tree):
    tree.write("tools/long_functions.txt", "src/base/a.c gone: was long\n")
    status, text = tree.gate("check_functions")
    assert status == 1 and "gone is not needed" in text


def test_a_file_over_800_lines_is_refused(tree):
    tree.write("src/base/a.c", "int x;\n" * 801)
    status, text = tree.gate("check_functions")
    assert status == 1 and "801 lines" in text


# ---- calls ------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["strcpy(a, b)", "sprintf (a, b)", "atoi(a)", "strtok(a, b)", "gets(a)"]
)
def test_an_unsafe_call_is_refused_everywhere(tree, call):
    tree.write("tests/base/test_a.c", f"void f(void) {{ {call}; }}\n")
    status, text = tree.gate("check_calls")
    assert status == 1 and call.split("(")[0].strip() in text


def test_the_library_may_not_exit_but_the_command_may(tree):
    tree.write("src/cli/a.c", "void f(void) { exit(1); }\n")
    assert tree.gate("check_calls") == (0, "")
    tree.write("src/base/a.c", "void f(void) { exit(1); }\n")
    status, text = tree.gate("check_calls")
    assert status == 1 and "src/base/a.c:1: exit()" in text


def test_prose_and_members_are_no_calls(tree):
    tree.write(
        "src/base/a.c",
        '/* never gets(x) */ // strcpy(x)\nchar *s = "atoi(x)";\n'
        "int y = ops->time(x) + ops.exit(x) + my_atoi(x);\n",
    )
    assert tree.gate("check_calls") == (0, "")


def test_an_allowed_call_needs_a_reason_and_a_use(tree):
    tree.write("src/os/clock.c", "long f(void) { return clock_gettime(1, 0); }\n")
    assert tree.gate("check_calls")[0] == 1
    tree.write("tools/allowed_calls.txt", "src/os/clock.c clock_gettime: the clock\n")
    assert tree.gate("check_calls") == (0, "")
    tree.write("src/os/clock.c", "")
    status, text = tree.gate("check_calls")
    assert status == 1 and "not needed" in text


# ---- public headers ---------------------------------------------------------


def test_a_header_that_needs_another_first_is_refused(tree):
    tree.write("include/guaco/slice.h", "size_t guaco_len(void);\n")
    status, text = tree.gate("check_headers")
    assert status == 1 and "include/guaco/slice.h" in text and "-std=c17" in text


def test_a_header_that_is_not_cpp_is_refused(tree):
    tree.write("include/guaco/slice.h", "#pragma once\nint guaco_f(int class);\n")
    status, text = tree.gate("check_headers")
    assert status == 1
    assert "g++ -std=c++17" in text and "gcc -std=c17" not in text


# ---- symbols ----------------------------------------------------------------


@pytest.fixture
def library(tree):
    """library(source): an archive and an executable made of one C file."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    tree.write(
        "include/guaco/error.h",
        '#define GUACO_API __attribute__((visibility("default")))\n'
        "GUACO_API const char *guaco_text(int code);\n",
    )

    def make(source):
        tree.write("a.c", '#include "guaco/error.h"\n' + source)
        build = tree.root / "build"
        (build / "src/cli").mkdir(parents=True, exist_ok=True)
        flags = ["-fvisibility=hidden", "-fPIC", "-Iinclude"]
        run = [
            ["gcc", *flags, "-c", "a.c", "-o", "build/a.o"],
            ["ar", "rc", "build/libguaco.a", "build/a.o"],
            ["gcc", *flags, "-x", "c", "-o", "build/src/cli/guaco", "main.c"],
        ]
        tree.write("main.c", "int main(void) { return 0; }\n")
        for command in run:
            subprocess.run(command, check=True, cwd=tree.root)
        return tree.gate("check_symbols", build)

    return make


GOOD = 'const char *guaco_text(int code) { return code ? "a" : "b"; }\n'


def test_symbols_accept_what_the_headers_declare(library):
    assert library(GOOD + "int guaco__hidden(void) { return 1; }\n") == (0, "")


def test_a_symbol_that_no_header_declares_is_refused(library):
    status, text = library(GOOD + "GUACO_API int guaco_x(void) { return 1; }\n")
    assert status == 1 and "exports guaco_x" in text


def test_a_declared_symbol_that_is_missing_is_refused(library):
    status, text = library("int guaco__hidden(void) { return 1; }\n")
    assert status == 1 and "guaco_text is declared" in text


@pytest.mark.parametrize("line", ["static int n;", "static int n = 3;"])
def test_a_mutable_global_is_refused(library, line):
    user = "int guaco__next(void) { return n++; }\n"
    status, text = library(GOOD + line + user)
    assert status == 1 and "n is a mutable global" in text


def test_a_constant_table_of_pointers_is_no_mutable_global(library):
    table = 'static const char *const t[] = {"a", "b"};\n'
    user = "const char *guaco__t(int i) { return t[i]; }\n"
    assert library(GOOD + table + user) == (0, "")


# ---- format -----------------------------------------------------------------


def test_format_is_refused_when_clang_format_would_change_it(tmp_path):
    if shutil.which("clang-format") is None:
        pytest.skip("no clang-format")
    shutil.copy(TOOLS.parent / ".clang-format", tmp_path)
    bad = tmp_path / "a.c"
    bad.write_text("int f( void ){return 1;}\n")
    command = [TOOLS / "check_format.sh", bad]
    assert subprocess.run(command, capture_output=True).returncode == 1
    bad.write_text("int x;\n")
    assert subprocess.run(command, capture_output=True).returncode == 0
