"""Hatch build hook: generates `gen/confapi` on every build and editable install."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateProtos(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's base is generic only in stubs
    """Calls `protos/generate.py`, which lies outside every package and is loaded by path."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before hatchling collects files."""
        path = pathlib.Path(self.root) / "protos" / "generate.py"
        spec = importlib.util.spec_from_file_location("confserv_generate", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.generate(pathlib.Path(self.root))
