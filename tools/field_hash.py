#!/usr/bin/env python3
"""Write src/http/field_hash.h: a perfect hash of the names in fields.h.

The key of a name is its length and four of its bytes; a multiplier is searched
for that sends the keys to different slots of a table of bytes.  Run it after
GUACO__FIELD_MAP has changed; tests/http/test_fields.c checks the result.
"""

import pathlib
import random
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
BITS = 9


def key(name: bytes) -> int:
    n = len(name)
    word = (name[0] | name[n // 2] << 8 | name[n - 2] << 16
            | name[n - 1] << 24)
    return (word + n * 0x9E3779B1) & 0xFFFFFFFF


def search(keys: list[int]) -> int:
    rng = random.Random(1)
    for _ in range(10_000_000):
        factor = rng.getrandbits(32) | 1
        slots = {(k * factor & 0xFFFFFFFF) >> (32 - BITS) for k in keys}
        if len(slots) == len(keys):
            return factor
    raise SystemExit("no multiplier found: raise BITS or change the key")


def main() -> None:
    text = (ROOT / "src/http/fields.h").read_text()
    names = re.findall(r'X\(\s*(\w+),\s*"([a-z0-9-]+)"\)', text)
    keys = [key(name.encode()) for _, name in names]
    if len(set(keys)) != len(keys):
        raise SystemExit("two names have the same key")
    factor = search(keys)
    lines = [
        "/* Written by tools/field_hash.py from fields.h; do not edit. */",
        "#ifndef GUACO_HTTP_FIELD_HASH_H",
        "#define GUACO_HTTP_FIELD_HASH_H",
        "",
        f"#define FIELD_HASH_FACTOR 0x{factor:08x}U",
        f"#define FIELD_HASH_BITS   {BITS}",
        "",
        "static const uint8_t field_hash[1 << FIELD_HASH_BITS] = {",
    ]
    slots = sorted(((k * factor & 0xFFFFFFFF) >> (32 - BITS), enum)
                   for k, (enum, _) in zip(keys, names))
    lines += [f"    [{slot}] = GUACO__FIELD_{enum}," for slot, enum in slots]
    lines += ["};", "", "#endif", ""]
    (ROOT / "src/http/field_hash.h").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
