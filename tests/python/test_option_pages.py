"""What is made of the option table: the docs, the manual, completion; --check-config."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

from conftest import guaco_exe
from deadline import DEADLINE_S

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(*words: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [guaco_exe(), *words], capture_output=True, text=True, cwd=cwd, timeout=DEADLINE_S
    )


def test_the_options_page_of_the_docs_is_the_tables() -> None:
    made = run("_page", "markdown").stdout
    kept = (ROOT / "docs" / "options.md").read_text()
    assert made == kept, "run: guaco _page markdown > docs/options.md"


def test_the_manual_names_each_option_and_is_sound_roff(tmp_path: pathlib.Path) -> None:
    page = run("_page", "man").stdout
    assert page.startswith(".TH GUACO 1")
    assert "\\-\\-timeout\\-keep\\-alive" in page
    if shutil.which("groff"):
        (tmp_path / "guaco.1").write_text(page)
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", str(tmp_path / "guaco.1")],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.stderr == ""


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["guaco", "se"], {"serve"}),
        (["guaco", "serve", "--timeout-h"], {"--timeout-handshake", "--timeout-head"}),
        (["guaco", "serve", "--loop", ""], {"guaco", "asyncio", "uvloop"}),
        (["guaco", "work", "--no-per"], {"--no-periodic"}),
        (["guaco", "work", "--lifes"], set()),
    ],
)
def test_bash_completes(
    words: list[str], wanted: set[str], tmp_path: pathlib.Path
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    script = tmp_path / "guaco.bash"
    script.write_text(run("completion", "bash").stdout)
    quoted = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [bash, "-c", f"set -u; . {script}; COMP_WORDS=({quoted}); "
                     f"COMP_CWORD={len(words) - 1}; COMPREPLY=(); _guaco; "
                     'printf "%s\\n" "${COMPREPLY[@]:-}"'],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert set(done.stdout.split()) == wanted
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(shell: str, tmp_path: pathlib.Path) -> None:
    script = run("completion", shell).stdout
    assert "timeout-keep-alive" in script
    exe = shutil.which(shell)
    if exe is None:
        pytest.skip(f"no {shell}")
    (tmp_path / "script").write_text(script)
    subprocess.run([exe, "-n", str(tmp_path / "script")], check=True)


def test_an_unknown_shell_is_a_usage_error() -> None:
    done = run("completion", "tcsh")
    assert done.returncode == 2
    assert "bash|zsh|fish" in done.stderr


# ---- --check-config


def test_a_sound_configuration_says_what_it_found() -> None:
    done = run("serve", "seed_app:app", "--check-config", cwd=EXAMPLES)
    assert (done.returncode, done.stdout) == (
        0, "seed_app:app is an application of ASGI\n"
    )  # fmt: skip
    done = run("work", "seed_queue.huey", "--check-config", cwd=EXAMPLES)
    assert done.returncode == 0
    assert done.stdout.startswith("queue ")


@pytest.mark.parametrize(
    "words, code, text",
    [
        (["serve", "seed_app:nothing"], 3, "has no 'nothing'"),
        (["serve", "nowhere:app"], 3, "no module 'nowhere'"),
        (["serve", "seed_app:app", "--port", "x"], 2, "--port"),
        (["serve", "./nowhere.so"], 2, "nowhere.so"),
        (["work", "seed_app:app"], 3, "no queue"),
        (["serve", "seed_app:app", "--python", "/nonexistent"], 2, "nonexistent"),
    ],
)
def test_an_unsound_one_says_why(words: list[str], code: int, text: str) -> None:
    done = run(*words, "--check-config", cwd=EXAMPLES)
    assert done.returncode == code, done.stderr
    assert text in done.stderr


# ---- import-uwsgi


def test_import_uwsgi_prints_toml_and_counts_what_is_left(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "uwsgi.ini").write_text(
        "[uwsgi]\nmodule = shop:app\nprocesses = 3\ncheaper = 1\n"
    )
    done = run("import-uwsgi", "uwsgi.ini", cwd=tmp_path)
    assert done.returncode == 0
    assert "serve shop:app\n[tool.guaco]\nworkers = 3\n" in done.stdout
    assert "#   cheaper = 1" in done.stdout
    assert "1 of its lines" in done.stderr


@pytest.mark.parametrize(
    "words, code, text",
    [([], 2, "usage"), (["nowhere.ini"], 1, "nowhere.ini"), (["--x"], 2, "usage")],
)
def test_import_uwsgi_of_nothing(
    words: list[str], code: int, text: str, tmp_path: pathlib.Path
) -> None:
    done = run("import-uwsgi", *words, cwd=tmp_path)
    assert done.returncode == code
    assert text in done.stderr
