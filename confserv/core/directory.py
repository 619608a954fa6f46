"""Looking things up in the configuration that the server itself needs: applications, and where servers listen.

Why it exists: admission asks for an Application object by name at every session, and what it needs lies in two
objects, the application and its template.
"""

from __future__ import annotations

from collections.abc import Mapping

from confserv.core.admission import ApplicationFacts
from confserv.core.applications import ApplicationType
from confserv.core.configuration import Configuration
from confserv.core.objects import NOTHING, Codec, Dbid, Key, NameKey, Record, State, TypeName, Value

APPLICATION = TypeName("Application")
TEMPLATE = TypeName("ApplicationTemplate")


class Directory:
    """Questions about a configuration in memory; it answers for the revision that memory is at."""

    def __init__(self, configuration: Configuration, codec: Codec) -> None:
        """Look into `configuration`, decoding by `codec`."""
        self._configuration = configuration
        self._codec = codec

    def application(self, name: str) -> Record | None:
        """Give the Application object of that name, None when there is none."""
        key = self._configuration.find(NameKey(APPLICATION, NOTHING, NOTHING, name))
        return None if key is None else self._configuration.get(key)

    def application_facts(self, name: str) -> ApplicationFacts | None:
        """Give what admission needs of an Application object and its template (B-16)."""
        record = self.application(name)
        if record is None:
            return None
        found = self._codec.decode(record.data)
        template = self._body(Key(TEMPLATE, Dbid(_number(found.body, "template"))))
        return ApplicationFacts(
            dbid=record.key.dbid,
            enabled=found.state is not State.DISABLED,
            application_type=ApplicationType(_number(found.body, "application_type")),
            required_feature=str(template.get("required_feature") or ""),
        )

    def endpoints(self, application_type: ApplicationType) -> tuple[str, ...]:
        """Give the host:port addresses of all enabled applications of a type."""
        found = list[str]()
        for record in self._configuration.objects(APPLICATION):
            application = self._codec.decode(record.data)
            if _number(application.body, "application_type") != application_type:
                continue
            addresses = application.body.get("endpoints") or ()
            if application.state is not State.DISABLED and isinstance(addresses, tuple):
                found += map(str, addresses)
        return tuple(found)

    def _body(self, key: Key) -> Mapping[str, Value]:
        record = self._configuration.get(key)
        return {} if record is None else self._codec.decode(record.data).body


def _number(body: Mapping[str, Value], field: str) -> int:
    value = body.get(field)
    return value if isinstance(value, int) else 0
