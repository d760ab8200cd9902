"""The extension module.  Private: its public names are re-exported by guaco.*."""

__version__: str

class Error(Exception):
    """Base of all exceptions that the C code raises and that no builtin fits."""
