"""The extension module.  Private: its public names are re-exported by guaco.*."""

from collections.abc import Buffer, Callable
from typing import Any, Self, final

__version__: str

class Error(Exception):
    """Base of all exceptions that the C code raises and that no builtin fits."""

class PayloadError(Error, ValueError):
    """The bytes of a task or a result are not what its serializer wrote."""

@final
class Codec:
    """Python values to CBOR bytes and back, typed and safe.

    A reducer turns a value of exactly its type into (name, argument, ...);
    ``builders[name](argument, ...)`` makes it again.  ``bytes_max`` >= 1 caps
    what is written and read.
    """

    def __new__(
        cls,
        reducers: dict[type, Callable[[Any], tuple[Any, ...]]],
        builders: dict[str, Callable[..., Any]],
        bytes_max: int,
        /,
    ) -> Self: ...
    def encode(self, value: object, /) -> bytes:
        """TypeError for an unknown type; ValueError: too large, too deep (64
        levels), or a lone surrogate in a str."""

    def decode(self, data: Buffer, /) -> Any:
        """PayloadError when data is not one whole payload."""
