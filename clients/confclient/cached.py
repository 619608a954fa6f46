"""Objects of the configuration in memory, with what an application asks for most beside them.

Pure data structure: `cache.py` keeps it up to date. Options are decoded when first read, then found by two
dictionary look-ups (P-4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from confapi.config.v1 import config_pb2, objects_pb2

OptionsOf = Mapping[str, Mapping[str, str]]
"""Section → option → value."""

_NONE: OptionsOf = {}


class CachedObjects:
    """Objects by (type, dbid) and by (type, name). Not for several threads at once."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[int, objects_pb2.ConfigObject]] = {}
        self._names: dict[tuple[str, str], dict[int, objects_pb2.ConfigObject]] = {}
        self._options: dict[tuple[str, str], dict[str, dict[str, str]]] = {}

    def replace(self, objects: Iterable[objects_pb2.ConfigObject]) -> None:
        """Forget everything and take these."""
        self._objects.clear()
        self._names.clear()
        self._options.clear()
        for item in objects:
            self._put(item)

    def apply(self, changes: Iterable[config_pb2.Change]) -> None:
        """Carry out the changes of one transaction, in order."""
        for change in changes:
            self._drop(change.object.type, change.object.dbid)
            if change.kind != config_pb2.CHANGE_KIND_REMOVED:
                self._put(change.object)

    def get(self, type_: str, dbid: int) -> objects_pb2.ConfigObject | None:
        """The object of a type with this number."""
        return self._objects.get(type_, {}).get(dbid)

    def find(self, type_: str, name: str, *, tenant: int = 0) -> objects_pb2.ConfigObject | None:
        """The object of a type with this name; `tenant` (dbid) chooses among equal names of several tenants."""
        named = self._names.get((type_, name), {})
        return next((item for item in named.values() if tenant in (0, item.tenant)), None)

    def list(self, type_: str) -> list[objects_pb2.ConfigObject]:
        """All objects of a type."""
        return list(self._objects.get(type_, {}).values())

    def __iter__(self) -> Iterator[objects_pb2.ConfigObject]:
        """All objects."""
        for objects in self._objects.values():
            yield from objects.values()

    def __len__(self) -> int:
        """Number of objects."""
        return sum(len(objects) for objects in self._objects.values())

    def options(self, type_: str, name: str) -> OptionsOf:
        """Options of the object of a type with this name; empty when there is none."""
        known = self._options.get((type_, name))
        return known if known is not None else self._decode(type_, name)

    def option(self, name: str, section: str, option: str, default: str | None = None) -> str | None:
        """Value of an option of the application `name`."""
        try:
            return self._options["Application", name][section][option]
        except KeyError:
            return self.options("Application", name).get(section, {}).get(option, default)

    def _decode(self, type_: str, name: str) -> OptionsOf:
        item = self.find(type_, name)
        if item is None:
            return _NONE
        decoded = {title: dict(section.options) for title, section in item.options.sections.items()}
        self._options[type_, name] = decoded
        return decoded

    def _put(self, item: objects_pb2.ConfigObject) -> None:
        self._objects.setdefault(item.type, {})[item.dbid] = item
        self._names.setdefault((item.type, item.name), {})[item.dbid] = item
        self._options.pop((item.type, item.name), None)

    def _drop(self, type_: str, dbid: int) -> None:
        item = self._objects.get(type_, {}).pop(dbid, None)
        if item is None:
            return
        named = self._names[type_, item.name]
        del named[dbid]
        if not named:
            del self._names[type_, item.name]
        self._options.pop((type_, item.name), None)
