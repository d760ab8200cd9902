"""The executable and the package are of one version."""

import subprocess

import guaco


def test_version_is_the_packages(exe):
    out = subprocess.run([exe, "--version"], capture_output=True, text=True)
    assert out.returncode == 0
    assert out.stdout.strip() == f"guaco {guaco.__version__}"


def test_a_program_is_read_until_a_line_appears(start):
    program = start("python", "-c", "print('ready at http://127.0.0.1:80'); input()")
    assert program.url() == "http://127.0.0.1:80"
    assert program.wait() == 1  # input() meets the end of file
