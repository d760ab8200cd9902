#!/usr/bin/env python3
"""embed_script.py NAME FILE...: a C source, on stdout, that defines the script as a string
of bytes (a literal may be of 4095 only).

Comments and indentation are left out: the script is sent to the server whole.
"""

import pathlib
import re
import sys


def main() -> None:
    """Write the source."""
    name, *paths = sys.argv[1:]
    script = "".join(pathlib.Path(path).read_text() for path in paths)
    print(f"extern const char {name}[];\nconst char {name}[] = {{")
    for line in script.splitlines():
        code = re.sub(r"(^|\s)--(\s.*)?$", "", line).strip()
        if code:
            print("    " + ",".join(str(byte) for byte in f"{code}\n".encode()) + ",")
    print("    0\n};")


main()
