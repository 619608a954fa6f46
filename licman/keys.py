"""Private keys of a vendor on disk: PEM, encrypted with a passphrase, readable by their owner alone.

The file names its key's id in a line before the PEM block, which PEM readers skip. A key without a passphrase
is written only on request.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from confkit.license.trust import KEY_ID, KeyId

ENVIRONMENT = "CONFSERV_LICGEN_PASSPHRASE"
_ID_LINE = re.compile(rb"confserv vendor key: ([^\r\n]+)\r?\n")


class KeyFileError(Exception):
    """A private key, or its passphrase, cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class VendorKey:
    """A private key with the id under which its signatures are made; the id is empty when its file lacks
    it.
    """

    key_id: KeyId
    private: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Where a passphrase comes from: nowhere on request, a file, the environment, or the terminal."""

    file: Path | None = None
    none: bool = False
    confirm: bool = False

    def get(self) -> bytes | None:
        """Fetch the passphrase, None for a key without. Raises KeyFileError when it is empty."""
        if self.none:
            return None
        if self.file is not None:
            found = _first_line(self.file)
        elif ENVIRONMENT in os.environ:
            found = os.environ[ENVIRONMENT]
        else:
            found = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=self.confirm, err=True)
        if not found:
            raise KeyFileError("the passphrase is empty; to do without one say --no-passphrase")
        return found.encode("utf-8")


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot read the passphrase: {error}") from None


def new_key(key_id: str) -> VendorKey:
    """Make a new key."""
    return VendorKey(KeyId(key_id), Ed25519PrivateKey.generate())


def save_key(key: VendorKey, path: Path, *, passphrase: bytes | None) -> None:
    """Write a private key for its owner alone. Raises KeyFileError when the file exists: keys are not
    replaced.
    """
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already; keys are never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(f"confserv vendor key: {key.key_id}\n".encode() + pem)
        file.flush()
        os.fsync(file.fileno())


def load_key(path: Path, *, passphrase: bytes | None) -> VendorKey:
    """Read a private key. Raises KeyFileError: unreadable, no Ed25519 key, wrong or missing passphrase."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    try:
        private = load_pem_private_key(data, passphrase)
    except TypeError:
        need = "needs a passphrase" if passphrase is None else "is not encrypted; say --no-passphrase"
        raise KeyFileError(f"{path}: the key {need}") from None
    except ValueError:
        raise KeyFileError(f"{path}: this is no private key in PEM, or the passphrase is wrong") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: an Ed25519 key is needed")
    named = _ID_LINE.search(data)
    key_id = named[1].decode("latin-1").strip() if named else ""
    return VendorKey(KeyId(key_id if KEY_ID.fullmatch(key_id) else ""), private)


def write_whole(path: Path, data: bytes, *, mode: int) -> None:
    """Replace a file at once, so that it is never seen half written; an existing file keeps its
    permissions.
    """
    target = path.resolve()
    keep = target.stat().st_mode & 0o777 if target.exists() else mode
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(keep)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
