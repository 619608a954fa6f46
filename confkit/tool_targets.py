"""Which cluster a command line client talks to: from a launcher's `cluster.json`, or from options.

Why it exists: the operator's tool, the administrator and the installer are told in the same way. Addresses of
other components than the Configuration Server are taken from the file when it has them, and from the
configuration otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confclient.credentials import TlsFiles

DEFAULT_DIRECTORY = ".cluster"
_STATE = "cluster.json"


class TargetError(Exception):
    """No cluster is named, or its description is unusable (exit status 2); says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, and the certificate to talk to it.

    Attributes:
        endpoints: host:port addresses of Configuration Servers.
        tls: certificate of the tool.
        components: addresses of other components by name, as far as known.
    """

    endpoints: tuple[str, ...]
    tls: TlsFiles
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def target_of(
    *,
    tool: str,
    cluster: Path | None,
    endpoints: Sequence[str],
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> Target:
    """Choose the cluster; options win over the file.

    Args:
        tool: whose certificate is taken from a launcher's directory: administrator or itc.
        cluster: a launcher's directory; None: the one of the working directory, if there is one and nothing else.
        endpoints, ca, certificate, key: of the options; empty or None where they were left out.

    Raises:
        TargetError: nothing is named, or the file cannot be used.
    """
    directory = cluster if cluster is not None else _default_directory(endpoints)
    described = _described(directory, tool) if directory is not None else None
    tls = (ca, certificate, key)
    if described is None and (not endpoints or None in tls):
        raise TargetError(
            "no cluster is named: give --cluster DIR, or --endpoints with --ca, --cert and --key "
            f"(there is no {DEFAULT_DIRECTORY}/{_STATE} here)"
        )
    known = described.tls if described is not None else None
    return Target(
        endpoints=tuple(endpoints) or (described.endpoints if described else ()),
        tls=TlsFiles(
            ca=ca or known.ca if known else _given(ca),
            certificate=certificate or known.certificate if known else _given(certificate),
            key=key or known.key if known else _given(key),
        ),
        components=described.components if described is not None and not endpoints else {},
    )


def _given(path: Path | None) -> Path:
    assert path is not None, "checked before"
    return path


def _default_directory(endpoints: Sequence[str]) -> Path | None:
    if endpoints:
        return None
    directory = Path(DEFAULT_DIRECTORY)
    return directory if (directory / _STATE).exists() else None


def _described(directory: Path, tool: str) -> Target:
    path = directory / _STATE
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise TargetError(
            f"cannot read {path}: {error.strerror}; is there a cluster in {directory}? "
            f"(confserv-cluster up --dir {directory})"
        ) from error
    except ValueError as error:
        raise TargetError(f"{path} is no JSON: {error}; start the cluster again") from error
    try:
        return _from_document(document, directory, tool)
    except (KeyError, TypeError, AttributeError) as error:
        raise TargetError(f"{path} does not describe a cluster: {error!r} is missing or wrong") from error


def _from_document(document: Mapping[str, Any], directory: Path, tool: str) -> Target:
    tls = document["tls"]
    ca = _path(directory, tls["ca"])
    # a tool that the file does not name has its certificate beside the authority's
    own = tls.get(
        tool, {"certificate": str(ca.parent / f"{tool}.crt"), "key": str(ca.parent / f"{tool}.key")}
    )
    addresses = {name: tuple(some) for name, some in document["endpoints"].items()}
    return Target(
        endpoints=addresses.pop("confserv", ()),
        tls=TlsFiles(
            ca=ca, certificate=_path(directory, own["certificate"]), key=_path(directory, own["key"])
        ),
        components=addresses,
    )


def _path(directory: Path, text: str) -> Path:
    """A path of the file: as it stands, or below the directory when it is relative and not there."""
    path = Path(text)
    return path if path.is_absolute() or path.exists() else directory / path
