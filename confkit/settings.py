"""Settings of a process: file < environment < options, checked before anything starts.

A TOML file may serve a whole cluster: its top level holds what all processes share, the table of a
process's name holds its own values, which win. So only settings that every process knows may stand at
the top of a shared file. An unknown key is an error with its place, never
ignored: a misspelled setting that silently has no effect is how outages begin.
"""

from __future__ import annotations

import json
import os
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from confclient.credentials import TlsFiles

ENVIRONMENT_PREFIX = "CONFSERV_"
_NESTED = "__"


class SettingsError(Exception):
    """Settings are refused (exit status 2); the message names file, key, what is wrong and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class TlsSettings(_Strict):
    """PEM files of the process."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path

    def files(self) -> TlsFiles:
        """The same for the client library and the server."""
        return TlsFiles(ca=self.ca, certificate=self.certificate, key=self.key)


class EtcdSettings(_Strict):
    """Where etcd is, how long a lease lives, and how often the role may change.

    Attributes:
        lease_ttl_s: time to live of the process's lease, in seconds.
        first_contact_s: a process that etcd has not answered so long after its start ends, in seconds.
        role_changes: how many automatic changes of role within `role_window_s` are normal; more raise an
    alarm
            (21-25127) and put off further ones.
        role_window_s: that window, in seconds.
    """

    endpoints: tuple[str, ...] = Field(min_length=1)
    ca: pathlib.Path | None = None
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None
    username: str = ""
    password_file: pathlib.Path | None = None
    lease_ttl_s: int = Field(default=5, ge=2, le=600)
    first_contact_s: float = Field(default=30.0, gt=0)
    role_changes: int = Field(default=10, ge=1)
    role_window_s: float = Field(default=600.0, gt=0)


class LogSettings(_Strict):
    """The process's own structured log; the Message Server gets log events whatever stands here."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    file: pathlib.Path | None = None


class ProcessSettings(_Strict):
    """What every process of the system can be told.

    Attributes:
        name: name of its Application object; the certificate must carry it.
        cluster: name of the cluster; prefix of its keys in etcd.
        listen: host:port to bind; port 0 takes a free one.
        advertise: host:port that others are told; default: `listen` with the port that was bound.
        data_dir: folder for spools and embedded stores.
        config_servers: host:port addresses of Configuration Servers.
        message_servers: host:port addresses of Message Servers; default: from the configuration.
        agent: host:port of the Local Control Agent of this host; empty: none.
        metrics: host:port of the Prometheus endpoint; empty: none.
    """

    name: str = Field(min_length=1, max_length=255)
    cluster: str = Field(default="confserv", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    listen: str = "127.0.0.1:0"
    advertise: str = ""
    data_dir: pathlib.Path = pathlib.Path(".")
    tls: TlsSettings
    etcd: EtcdSettings | None = None
    config_servers: tuple[str, ...] = ()
    message_servers: tuple[str, ...] = ()
    agent: str = ""
    hang_timeout_s: float = Field(default=0, ge=0)
    metrics: str = ""
    log: LogSettings = LogSettings()

    @field_validator("listen", "advertise", "agent", "metrics")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    def required_etcd(self) -> EtcdSettings:
        """The etcd settings of an elected process.

        Raises:
            SettingsError: there are none.
        """
        if self.etcd is None:
            raise SettingsError(
                f"{self.name}: etcd.endpoints is missing: name the etcd servers that elect the primary"
            )
        return self.etcd


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; a host in brackets may be an IPv6 address.

    Raises:
        ValueError: the text is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port with a port of 0 to 65535")
    return host.strip("[]"), int(port)


Model = TypeVar("Model", bound=BaseModel)


def load_settings(
    model: type[Model],
    *,
    file: pathlib.Path | None,
    name: str | None,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Model:
    """Read, merge and check the settings of one process.

    Args:
        model: the settings class of the process.
        file: TOML file; None: only environment and options.
        name: name of the process, whose table is laid over the file's top level; None: the only table with
            a `tls` key, or the top level's own `name`.
        options: values of the command line, by dotted key; None values are left out.
        environment: default `os.environ`. `CONFSERV_ETCD__ENDPOINTS` sets `etcd.endpoints`; JSON where the
            setting is not a text.

    Raises:
        SettingsError: with file, key, reason and cure.
    """
    values = _from_file(model, file, name) if file is not None else {}
    if name is not None:
        values["name"] = name
    known = set(model.model_fields)
    _merge(values, _from_environment(os.environ if environment is None else environment, known))
    for key, value in (options or {}).items():
        if value is not None:
            _set(values, key.split("."), value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, file, values.get("name"))) from None


def dump_settings(settings: BaseModel) -> str:
    """The effective settings as JSON for `--print-config`, without secrets."""
    return json.dumps(json.loads(settings.model_dump_json()), indent=2, sort_keys=True)


def _from_file(model: type[BaseModel], file: pathlib.Path, name: str | None) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot read the settings: {error.strerror}; check -c") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from None
    fields = set(model.model_fields)
    tables = {key: value for key, value in document.items() if isinstance(value, dict) and key not in fields}
    shared = {key: value for key, value in document.items() if key not in tables}
    name = name or shared.get("name") or (next(iter(tables)) if len(tables) == 1 else None)
    if tables and name not in tables and "name" not in shared:
        raise SettingsError(f"{file}: no table [{name or '?'}]; -s takes one of: {', '.join(sorted(tables))}")
    own = tables.get(str(name), {})
    values = dict(shared)
    _merge(values, own)
    values.setdefault("name", name)
    return values


def _from_environment(environment: Mapping[str, str], known: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split(_NESTED)
        if path[0] in known:
            _set(values, path, _parsed(text))
    return values


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        nested = values.get(key)
        values[key] = nested = dict(nested) if isinstance(nested, Mapping) else {}
        values = nested
    values[path[-1]] = value


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), Mapping):
            nested = dict(values[key])
            _merge(nested, value)
            values[key] = nested
        else:
            values[key] = value


def _explain(error: ValidationError, file: pathlib.Path | None, name: object) -> str:
    where = f"{file}" if file is not None else "settings"
    if name:
        where += f" [{name}]"
    lines = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"])
        match finding["type"]:
            case "extra_forbidden":
                said = "unknown key; check its spelling, or remove it (--print-config shows what there is)"
            case "missing":
                said = "missing; set it in the file, in the environment or by an option"
            case _:
                said = f"{finding['msg']}, but it is {_shown(finding['input'])}"
        lines.append(f"{where}: {key}: {said}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr | Mapping):
        return "of another shape"
    return repr(value)[:80]
