"""guaco.run, and the way from Python to the native executable."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import sysconfig
from typing import Any, NoReturn

from guaco._lifespan import LifespanError
from guaco._server import Server, TargetError
from guaco._worker import loop_factory_of

# The names of uvicorn's levels that logging lacks.
_LEVELS = {"trace": logging.DEBUG}


def run(app: Any, **options: Any) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; the shape of ``uvicorn.run``.

    The options are those of ``guaco serve``, with ``_`` for ``-``.  With more
    than one worker, or ``reload``, this process becomes the native supervisor:
    ``app`` is then a name, ``"module:attribute"``, because each worker imports
    it, and the call does not return.

    Exits with code 3 when the application cannot be started.
    """
    workers = options.get("workers")
    if workers is None:
        workers = os.environ.get("WEB_CONCURRENCY", 1)
    if options.get("reload") or str(workers) != "1":
        if not isinstance(app, str):
            raise ValueError(
                "workers and reload need the application as a name, like "
                '"module:app": each worker imports it'
            )
        hide_password(options)
        exec_native(["serve", app, *command_line(options)])
    for name in ("reload", "reload_dir", "reload_include", "reload_exclude"):
        options.pop(name, None)
    options.setdefault(
        "forwarded_allow_ips", os.environ.get("FORWARDED_ALLOW_IPS")
    )
    setup_logging(options.get("log_level") or "info")
    loop = options.pop("loop", None)
    server = Server(app, **options)
    server.on_start = lambda: _say_hello(server)
    try:
        factory = loop_factory_of(loop)
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(server.serve())
    except (TargetError, LifespanError) as exc:
        logging.getLogger("guaco.error").error("%s", exc)
        sys.exit(3)


def _say_hello(server: Server) -> None:
    log = logging.getLogger("guaco.error")
    for url in server.urls:
        log.info("listening on %s", url)


def setup_logging(level: str) -> None:
    """Send the loggers under "guaco" to stderr, unless somebody has set them
    up already."""
    log = logging.getLogger("guaco")
    number = _LEVELS.get(level.lower(), level.upper())
    log.setLevel(number)
    if log.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)-8s %(message)s"))
    log.addHandler(handler)
    log.propagate = False


# ---- the executable


def native_executable() -> str | None:
    """Where the executable is: GUACO_EXE, the scripts of this interpreter, the
    folder of the package, PATH."""
    if exe := os.environ.get("GUACO_EXE"):
        return exe
    folders = [
        sysconfig.get_path("scripts"),
        os.path.dirname(sys.executable),
    ]
    for folder in folders:
        path = os.path.join(folder, "guaco")
        if os.access(path, os.X_OK):
            return path
    return shutil.which("guaco")


def exec_native(words: list[str]) -> NoReturn:
    """Become the executable.  Its workers are this interpreter."""
    exe = native_executable()
    if exe is None:
        raise RuntimeError(
            "the guaco executable is not installed beside this interpreter; "
            "set GUACO_EXE to its path"
        )
    os.environ.setdefault("GUACO_PYTHON", sys.executable)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(exe, [exe, *words])


def hide_password(options: dict[str, Any]) -> None:
    """Move a key's password to the environment: words of a command line are
    for all to see."""
    password = options.pop("ssl_keyfile_password", None)
    if password is not None:
        os.environ["GUACO_SSL_KEYFILE_PASSWORD"] = str(password)


def command_line(options: dict[str, Any]) -> list[str]:
    """Keyword options as words: ``reload=True`` is ``--reload``."""
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is None:
            continue
        if value is True:
            words.append(flag)
        elif value is False:
            words.append("--no-" + flag[2:])
        elif isinstance(value, (list, tuple)):
            for one in value:
                words += [flag, str(one)]
        else:
            words += [flag, str(value)]
    return words


__all__ = ["exec_native", "run", "setup_logging"]
