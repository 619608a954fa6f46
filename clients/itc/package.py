"""What an installation package says: read, checked, turned into objects that are declared.

Pure but for reading the one file. Every error names the file, the key and, where it can, the line and column.

    [application]
    name = "billing"
    version = "8.5.101"
    endpoints = ["billing.example:9000"]

    [template]
    type = "generic_server"
    required_feature = "billing"

    [options.limits]
    retries = 3
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from confapi.config.v1 import objects_pb2
from confclient.documents import Document, DocumentError, enum_number, option_text
from confkit.tool import UsageError

MAX_FILE_BYTES = 1024 * 1024


class PackageError(UsageError):
    """A package is refused (exit status 2); the message says where and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TemplateTable(_Strict):
    """What applications of this kind have in common."""

    type: str
    name: str = Field(default="", max_length=255)
    required_feature: str = Field(default="", max_length=255)
    description: str = ""


class ApplicationTable(_Strict):
    """The application that is installed. Host and tenants are named; they have to exist."""

    name: str = Field(min_length=1, max_length=255)
    version: str = ""
    host: str = ""
    tenants: list[str] = []
    command_line: str = ""
    arguments: list[str] = []
    working_directory: str = ""
    auto_restart: bool = False
    startup_timeout_s: int = Field(default=0, ge=0, le=86_400)
    shutdown_timeout_s: int = Field(default=0, ge=0, le=86_400)
    endpoints: list[str] = []


class _File(_Strict):
    application: ApplicationTable
    template: TemplateTable
    options: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package: the documents of its template and its application, in the order in which they are made."""

    source: str
    documents: tuple[Document, Document]


def read_package(path: Path) -> Package:
    """Read a package; raises PackageError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PackageError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(data) > MAX_FILE_BYTES:
        raise PackageError(f"{path} is larger than {MAX_FILE_BYTES} bytes: that is no package")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PackageError(f"{path}: byte {error.start + 1} is no UTF-8: a package is a TOML text") from error
    return parse_package(text, source=str(path))


def parse_package(text: str, *, source: str) -> Package:
    """Check the text of a package; raises PackageError."""
    try:
        found = _File.model_validate(tomllib.loads(text))
        documents = _documents(found)
    except tomllib.TOMLDecodeError as error:
        raise PackageError(f"{source}: {error}") from error
    except ValidationError as error:
        lines = [_sentence(one, text, source) for one in error.errors()]
        raise PackageError("\n".join(lines)) from error
    except DocumentError as error:
        raise PackageError(
            f"{_place(error.path.split('.'), text, source)}: {error.path}: {error.message}"
        ) from error
    return Package(source, documents)


def _documents(found: _File) -> tuple[Document, Document]:
    application, template = found.application, found.template
    number = enum_number(objects_pb2.ApplicationType.DESCRIPTOR, template.type)
    if not number:
        raise DocumentError(
            "template.type", f"{template.type!r} is no type of applications: try generic_server"
        )
    name = template.name or f"{application.name} {application.version}".strip()
    body = application.model_dump(exclude={"name"}, exclude_defaults=True)
    return (
        {
            "type": "ApplicationTemplate",
            "name": name,
            "body": {
                "application_type": objects_pb2.ApplicationType.Name(number),
                "version": application.version,
                "required_feature": template.required_feature,
                "description": template.description,
            },
        },
        {
            "type": "Application",
            "name": application.name,
            "options": _options(found.options),
            "body": {"template": name, **body},
        },
    )


def _options(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        section: {
            option: option_text(value, path=f"options.{section}.{option}")
            for option, value in options.items()
        }
        for section, options in sections.items()
    }


def _sentence(error: Any, text: str, source: str) -> str:
    path = [str(part) for part in error["loc"]]
    reason = {"extra_forbidden": "no such key", "missing": "is missing"}.get(error["type"], error["msg"])
    return f"{_place(path, text, source)}: {'.'.join(path)}: {reason}"


def _place(path: list[str], text: str, source: str) -> str:
    """Where a key stands, as source:line:column; where its table begins when the key is missing."""
    table: list[str] = []
    found = source
    for number, line in enumerate(text.splitlines(), start=1):
        column = len(line) - len(line.lstrip()) + 1
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        key = re.match(r"\s*[\"']?([^\"'=\s]+)[\"']?\s*=", line)
        if header:
            table = header[1].split(".")
            if table == path[: len(table)]:
                found = f"{source}:{number}:{column}"
        elif key and [*table, key[1]] == path[: len(table) + 1]:
            return f"{source}:{number}:{column}"
    return found
