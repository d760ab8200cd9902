"""python -m guaco.compat NAME: run a program written for another library.

    python -m guaco.compat huey script.py [ARGUMENTS]
    python -m guaco.compat huey -m module [ARGUMENTS]
    python -m guaco.compat huey_consumer app.huey -w 4

In the program ``import huey`` then means guaco.compat.huey.
"""

from __future__ import annotations

import os
import runpy
import sys

from guaco.compat.huey._alias import install


def _run(words: list[str]) -> None:
    """Run a script or a module as __main__, as the interpreter would."""
    if words[0] == "-m":
        if len(words) < 2:
            raise SystemExit("guaco.compat: -m needs a module")
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    if not os.path.exists(words[0]):
        raise SystemExit(f"guaco.compat: there is no file {words[0]!r}")
    sys.argv = words
    sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
    runpy.run_path(words[0], run_name="__main__")


def main(words: list[str]) -> None:
    """Do what the command line says."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return
    name, *rest = words
    if name == "huey_consumer":
        install()
        from guaco.compat.huey.bin.huey_consumer import consumer_main

        sys.argv = ["huey_consumer", *rest]
        sys.path.insert(0, os.getcwd())
        consumer_main()
    elif name == "huey" and rest:
        install()
        _run(rest)
    else:
        raise SystemExit(__doc__.strip())


if __name__ == "__main__":
    main(sys.argv[1:])
