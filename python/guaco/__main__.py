"""``python -m guaco``: the native executable with the same words."""

import sys

from guaco._run import exec_native

if __name__ == "__main__":
    exec_native(sys.argv[1:])
