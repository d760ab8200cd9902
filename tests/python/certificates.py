"""Certificates and keys for tests, made by the openssl program."""

import pathlib
import shutil
import subprocess

import pytest


class Certificates:
    """Pairs NAME.pem and NAME.key in a folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl program")
        self.folder = folder

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make(
        self,
        name: str,
        subject: str = "",
        *,
        names: str = "",
        signer: str = "",
        password: str = "",
    ) -> tuple[str, str]:
        """A pair for ``subject`` and the hosts ``names`` ("DNS:a,IP:::1"),
        signed by the pair ``signer`` or by itself; the paths of both files."""
        cert, key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt"]
        words += ["ec_paramgen_curve:prime256v1", "-days", "30", "-sha256"]
        words += ["-subj", f"/CN={subject or name}", "-out", cert]
        words += ["-keyout", key]
        if names:
            words += ["-addext", f"subjectAltName={names}"]
        if signer:
            words += ["-CA", self.path(f"{signer}.pem")]
            words += ["-CAkey", self.path(f"{signer}.key")]
            words += ["-addext", "basicConstraints=critical,CA:FALSE"]
        elif not names:  # an authority; Python 3.13 asks for its key usage
            words += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        words += ["-passout", f"pass:{password}"] if password else ["-noenc"]
        subprocess.run(["openssl", *words], check=True, capture_output=True)
        return cert, key


def make_server(folder: pathlib.Path) -> Certificates:
    """A CA ("ca") and a pair of this machine ("server") signed by it."""
    made = Certificates(folder)
    made.make("ca", "the CA")
    made.make(
        "server", names="DNS:localhost,IP:127.0.0.1", signer="ca"
    )
    return made
