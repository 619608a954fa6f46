"""`licgen`, the vendor's tool: make a key, sign a license file, verify and inspect one.

It works on files alone, and needs no server. Exit statuses: 0 done, 1 failed, 2 bad usage or refused input.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from confkit.license.comparison import compare
from confkit.license.editing import sign_file
from confkit.license.files import read_license, read_trust_set
from confkit.license.findings import LicenseError, errors_of
from confkit.license.inspection import inspect as describe
from confkit.license.inspection import line_document
from confkit.license.signing import verify as findings_of
from confkit.license.trust import KEY_ID, KeyId, TrustedKey, TrustSet
from licman.keys import (
    KeyFileError,
    Passphrase,
    VendorKey,
    load_key,
    new_key,
    save_key,
    write_whole,
)

REFUSED = 2
app = typer.Typer(
    help="Make vendor keys, sign license files, verify and inspect them.",
    no_args_is_help=True,
    add_completion=False,
)


class Output(StrEnum):
    """How `inspect` prints."""

    TABLE = "table"
    JSON = "json"


LicensePath = Annotated[Path, typer.Argument(help="License file.", show_default=False)]
TrustPath = Annotated[Path, typer.Option("--trust", help="File of trusted vendor keys (TOML).")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Take the passphrase from the first line of a file.")
]
NoPassphrase = Annotated[
    bool, typer.Option("--no-passphrase", help="The key is not encrypted. For tests and local clusters only.")
]


@app.command()
def keygen(
    private_key: Annotated[Path, typer.Argument(help="Where to write the private key; must not exist yet.")],
    key_id: Annotated[str, typer.Option("--key-id", help="Id of the key, named in every signature.")],
    vendor: Annotated[list[str], typer.Option("--vendor", help="Vendor name it may sign for; repeatable.")],
    trust: Annotated[Path | None, typer.Option(help="Trust set to add the public key to.")] = None,
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
) -> None:
    """Make a key pair: the private key encrypted and for its owner alone, the public one as a trust set."""
    if not KEY_ID.fullmatch(key_id):
        _refuse("--key-id: up to 64 letters, digits, points, dashes and underscores are needed")
    passphrase = Passphrase(file=passphrase_file, none=no_passphrase, confirm=True)
    known = read_trust_set(trust) if trust is not None and trust.exists() else TrustSet()
    if known.get(key_id) is not None:
        _refuse(f"{trust} has a key {key_id} already; give the new one another id")
    key = new_key(key_id)
    save_key(key, private_key, passphrase=passphrase.get())
    public = key.private.public_key().public_bytes_raw()
    added = TrustSet.of([*known.keys.values(), TrustedKey(KeyId(key_id), public, tuple(vendor))])
    if trust is None:
        typer.echo(added.print(), nl=False)
    else:
        write_whole(trust, added.print().encode(), mode=0o644)
        typer.echo(f"private key {private_key}, public key added to {trust}")


@app.command()
def sign(
    license_path: LicensePath,
    key: Annotated[Path, typer.Option("--key", help="Private key made by keygen.")],
    key_id: Annotated[
        str | None, typer.Option("--key-id", help="Id of the key, if its file lacks it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write here instead of in place.")] = None,
    vendor: Annotated[
        list[str] | None, typer.Option("--vendor", help="Sign only lines of this vendor; repeatable.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
) -> None:
    """Sign every line of a license file, in place, keeping its layout."""
    license_file = read_license(license_path)
    passphrase = Passphrase(file=passphrase_file, none=no_passphrase)
    vendor_key = _with_id(load_key(key, passphrase=passphrase.get()), key_id, key)
    chosen = [line for line in license_file.licensed if not vendor or line.vendor in vendor]
    if not chosen:
        _refuse(f"{license_path}: there is no line to sign")
    signed = sign_file(
        license_file, key_id=vendor_key.key_id, key=vendor_key.private, wanted=lambda line: line in chosen
    )
    write_whole(output or license_path, signed, mode=0o644)
    typer.echo(f"signed {len(chosen)} lines of {output or license_path} with the key {vendor_key.key_id}")


@app.command()
def verify(license_path: LicensePath, trust: TrustPath) -> None:
    """Check every signature of a license file; exit status 2 when it would be refused."""
    license_file = read_license(license_path)
    findings = findings_of(license_file, trust=read_trust_set(trust), now=datetime.now(UTC))
    for finding in findings:
        typer.echo(str(finding), err=True)
    if errors := errors_of(findings):
        typer.echo(f"{license_path}: refused, {len(errors)} errors", err=True)
        raise typer.Exit(REFUSED)
    typer.echo(f"{license_path}: {len(license_file.licensed)} lines verified, SHA-256 {license_file.sha256}")


@app.command()
def inspect(
    license_path: LicensePath,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Check signatures against this trust set too.")
    ] = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the output.")] = Output.TABLE,
) -> None:
    """Show what a license file grants; signatures are judged only when a trust set is given."""
    trusted = None if trust is None else read_trust_set(trust)
    document = describe(read_license(license_path), trust=trusted, now=datetime.now(UTC))
    if output is Output.JSON:
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    _print_table(document)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="License file.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="License file to compare it with.", show_default=False)],
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the output.")] = Output.TABLE,
) -> None:
    """Show what changed between two license files, in meaning and not in layout."""
    old_file, new_file = read_license(old), read_license(new)
    difference = compare(old_file, new_file)
    removed = [line_document(old_file, line) for line in difference.removed]
    added = [line_document(new_file, line) for line in difference.added]
    if output is Output.JSON:
        document = {"removed": removed, "added": added, "servers_differ": difference.servers_differ}
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    for sign_, rows in (("-", removed), ("+", added)):
        for row in rows:
            counted = "uncounted" if row["count"] is None else row["count"]
            words = (row["keyword"], row["feature"], row["version"], row["expiry"] or "permanent", counted)
            typer.echo(f"{sign_} line {row['line']}: {' '.join(str(word) for word in words)}")
    if difference.servers_differ:
        typer.echo("! the SERVER host ids differ")
    if difference.is_empty:
        typer.echo("both files mean the same")


def main() -> None:
    """Run the tool; refused input ends with status 2 and a line for each finding, a failure with status 1."""
    try:
        app()
    except LicenseError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(REFUSED) from None
    except KeyFileError as error:
        _echo_error(str(error))
        raise SystemExit(REFUSED) from None
    except OSError as error:
        _echo_error(f"{error.filename or 'output'}: {error.strerror or error}")
        raise SystemExit(1) from None


def _with_id(key: VendorKey, key_id: str | None, path: Path) -> VendorKey:
    if key_id is not None and not KEY_ID.fullmatch(key_id):
        _refuse("--key-id: up to 64 letters, digits, points, dashes and underscores are needed")
    if not (key_id or key.key_id):
        _refuse(f"{path} does not say its id; give --key-id")
    return VendorKey(KeyId(key_id or key.key_id), key.private)


def _print_table(document: dict[str, object]) -> None:
    table = Table("line", "feature", "version", "count", "start", "expiry", "kind", "counts")
    lines = document["lines"]
    assert isinstance(lines, list)
    for line in lines:
        kind = "technical key" if line["item"] is None else f"item, {line['item']['type']}"
        counted = "uncounted" if line["count"] is None else str(line["count"])
        cells = (
            line["feature"],
            line["version"] or "",
            counted,
            line["start"] or "",
            line["expiry"] or "never",
        )
        table.add_row(str(line["line"]), *cells, kind, "yes" if line["counts"] else "no")
    Console(width=None if Console().is_terminal else 120).print(table)
    verdicts = {None: "not checked", True: "verified", False: "REFUSED"}
    verified = next(text for verdict, text in verdicts.items() if verdict is document["verified"])
    typer.echo(f"signatures {verified}, state {document['state']}, SHA-256 {document['sha256']}")
    findings = document["findings"]
    assert isinstance(findings, list)
    for finding in findings:
        place = f"{document['source']}:{finding['line']}:{finding['column']}"
        typer.echo(f"{place}: {finding['severity']}: {finding['message']} [{finding['reason']}]")


def _echo_error(message: str) -> None:
    typer.echo(f"licgen: {message}", err=True)


def _refuse(message: str) -> None:
    _echo_error(message)
    raise typer.Exit(REFUSED)
