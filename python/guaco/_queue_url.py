"""The URLs of stores: made from parts, and shown without their secrets."""

from __future__ import annotations

import os
import re
import urllib.parse
from typing import Any


def _quoted(value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    return urllib.parse.quote(text, safe="/")


def redis_url(
    host: str,
    port: int | str,
    socket: str | os.PathLike[str] | None,
    tls: bool,
    options: dict[str, Any],
) -> str:
    """The URL of a Redis server; options that are None are left out."""
    if socket is not None:
        head = "redis+unix://" + _quoted(os.path.abspath(socket))
    else:
        scheme = "rediss" if tls else "redis"
        name = f"[{host}]" if ":" in host else _quoted(host)
        head = f"{scheme}://{name}:{int(port)}"
    given = {k: _quoted(v) for k, v in options.items() if v is not None}
    query = "&".join(f"{key}={value}" for key, value in given.items())
    return f"{head}?{query}" if query else head


def postgres_url(
    host: str | os.PathLike[str] | None, port: int | str | None, options: dict[str, Any]
) -> str:
    """The URL of a PostgreSQL server; what is None is left to libpq."""
    database = options.pop("dbname", None)
    path = "" if database is None else urllib.parse.quote(str(database), safe="")
    given = {"host": host, "port": None if port is None else int(port), **options}
    query = "&".join(f"{k}={_quoted(v)}" for k, v in given.items() if v is not None)
    return f"postgresql:///{path}?{query}" if query else f"postgresql:///{path}"


def without_secrets(url: str) -> str:
    """A URL for people to see."""
    url = re.sub(r"(//[^/?@:]*:)[^/?]*@", r"\1***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", url)
