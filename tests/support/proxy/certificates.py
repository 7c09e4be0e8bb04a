"""Authorities and certificates for tests, made by the openssl program; elliptic curves, because they are quick to make."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "Identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key."""

    certificate: str
    key: str


class Authority:
    """Signs certificates, into files of a folder. ca: the file with its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.name = name
        self._own = Identity(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        # QEMU wants to see that it is one, and that it signs.
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
        self._request(self._own, name, "-x509", "-days", "2", *(word for text in extensions for word in ("-addext", text)))

    @property
    def ca(self) -> str:
        return self._own.certificate

    def issue(self, name: str, *, host: str = "IP:127.0.0.1", days: int = 2, subject: str = "") -> Identity:
        """Return a certificate with a common name. host: as a subjectAltName. subject: in place of one with that name."""
        stem = str(self._folder / f"{self.name}-{name}")
        made = Identity(f"{stem}.pem", f"{stem}.key")
        request, extensions = Path(f"{stem}.csr"), Path(f"{stem}.ext")
        self._request(Identity(str(request), made.key), name, subject=subject)
        # As Python 3.13 wants to see them (ssl.VERIFY_X509_STRICT), and QEMU 8.2 (crypto/tlscredsx509.c: key encipherment).
        keys = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        uses = "keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n"
        extensions.write_text(f"{keys}{uses}subjectAltName={host}\n")
        signer = ["-CA", self._own.certificate, "-CAkey", self._own.key, "-CAcreateserial", "-extfile", str(extensions)]
        _openssl("x509", "-req", "-in", str(request), *signer, "-days", str(days), "-out", made.certificate)
        return made

    @staticmethod
    def _request(made: Identity, name: str, *words: str, subject: str = "") -> None:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl(
            "req", "-new", *curve, *words, "-subj", subject or f"/CN={name}", "-keyout", made.key, "-out", made.certificate
        )


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
