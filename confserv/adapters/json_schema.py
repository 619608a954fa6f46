"""Checks structures of custom types against JSON Schema (draft 2020-12), by the library jsonschema.

No schema is ever fetched: a reference to another document is refused when the type is registered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing.exceptions import Unresolvable

from confserv.core.objects import Value


class JsonSchemas:
    """The core's `Schemas`."""

    def fault_of_schema(self, schema: str) -> str | None:
        """Say what is wrong with a schema, None for nothing."""
        try:
            document = json.loads(schema)
        except ValueError as error:
            return f"not JSON: {error}"
        try:
            Draft202012Validator.check_schema(document)
        except SchemaError as error:
            return f"not a JSON Schema: at {error.json_path}: {error.message}"
        outside = _outside_reference(document)
        return None if outside is None else f"refers to another document, {outside!r}, which is never fetched"

    def fault_of(self, schema: str, value: Mapping[str, Value]) -> str | None:
        """Say what is wrong with a structure under a schema, None for nothing."""
        try:
            error = best_match(_validator(schema).iter_errors(_plain(value)))
        except (Unresolvable, RecursionError) as problem:
            return f"the schema cannot be followed: {problem}"
        return None if error is None else f"at {error.json_path}: {error.message}"


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def _plain(value: Value) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _outside_reference(document: Any) -> str | None:
    items = document.items() if isinstance(document, dict) else ()
    for name, value in items:
        if name in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            return value
    children = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    return next((found for child in children if (found := _outside_reference(child)) is not None), None)
