"""Certificates for tests of TLS: authorities, and what they have signed, made by openssl."""

import subprocess
from pathlib import Path

_NEW = "-newkey rsa:2048 -nodes"
_EXTENSIONS = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"


def make_authority(folder: Path, name: str) -> Path:
    """Make the authority `name`, and return the file of its certificate."""
    files = f"-keyout {folder}/{name}.key -out {folder}/{name}.pem"
    _openssl(f"req -x509 {_NEW} -days 2 -subj /CN={name} {_EXTENSIONS} {files}")
    return folder / f"{name}.pem"


def make_certificate(folder: Path, name: str, issuer: Path, host: str = "localhost") -> Path:
    """Make a certificate for `host`, signed by `issuer`, and return the file that holds it and its key."""
    file = folder / name
    file.with_suffix(".ext").write_text(f"subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\n")
    _openssl(f"req {_NEW} -subj /CN={name} -keyout {file}.key -out {file}.csr")
    signed = f"-CA {issuer} -CAkey {issuer.with_suffix('.key')} -CAcreateserial -extfile {file}.ext"
    _openssl(f"x509 -req -days 2 -in {file}.csr {signed} -out {file}.crt")
    both = file.with_suffix(".crt").read_text() + file.with_suffix(".key").read_text()
    file.with_suffix(".pem").write_text(both)
    return file.with_suffix(".pem")


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)
