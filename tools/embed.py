#!/usr/bin/env python3
"""embed.py INPUT NAME: print a C header that holds the file's bytes as NAME[] and NAME_len."""

import sys
from pathlib import Path

data = Path(sys.argv[1]).read_bytes()
name = sys.argv[2]
print(f"/* Made from {Path(sys.argv[1]).name} by tools/embed.py. */")
print(f"static const char {name}[] = {{")
for at in range(0, len(data), 16):
    print("    " + " ".join(f"{byte}," for byte in data[at : at + 16]))
print("    0};")
print(f"enum {{ {name}_len = {len(data)} }};")
