"""The catalogue of log events, and the logger that every process uses.

One row an event: number, level, severity, text, and the event that clears it. The documentation's table
is made from it. The texts of 21-25100, 21-25101 and 21-25102 are fixed, character for character. An event
goes to the process's own structured log at once, and to a sink, which brings it to the Message Server.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from confapi.message.v1 import message_pb2
from confclient.request_ids import new_id
from confkit.clock import wall_ms

ALARM: Final = message_pb2.LEVEL_ALARM
STANDARD: Final = message_pb2.LEVEL_STANDARD
INTERACTION: Final = message_pb2.LEVEL_INTERACTION
TRACE: Final = message_pb2.LEVEL_TRACE
INFO: Final = message_pb2.SEVERITY_INFO
WARNING: Final = message_pb2.SEVERITY_WARNING
ERROR: Final = message_pb2.SEVERITY_ERROR


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One row of the catalogue.

    Attributes:
        number: as 21-25100; the first digits are the type of application that logs.
        level: ALARM, STANDARD, INTERACTION, TRACE.
        severity: INFO, WARNING, ERROR.
        text: what it says; `{name}` stands for an attribute.
        cleared_by: number of the event that ends the condition; empty: none.
    """

    number: str
    level: message_pb2.Level
    severity: message_pb2.Severity
    text: str
    cleared_by: str = ""


_CATALOGUE: Final = (
    # 21: Configuration Server
    EventSpec("21-25100", STANDARD, INFO, "LRM Server connected successfully, system operating normally"),
    EventSpec("21-25101", STANDARD, ERROR, "Unable to accept connection: LRM Server has not been started"),
    EventSpec("21-25102", STANDARD, ERROR, "LRM Server has disconnected", "21-25100"),
    EventSpec("21-25110", STANDARD, INFO, "License revision {license_revision} loaded"),
    EventSpec("21-25111", STANDARD, ERROR, "License expired: {what} since {since}", "21-25112"),
    EventSpec("21-25112", STANDARD, INFO, "License in compliance again"),
    EventSpec("21-25113", STANDARD, WARNING, "License of {feature} expires in {days} days", "21-25110"),
    EventSpec("21-25114", ALARM, ERROR, "Stored license altered: {detail}", "21-25110"),
    EventSpec("21-25115", ALARM, ERROR, "Clock is {behind_s} s behind the time on record", "21-25116"),
    EventSpec("21-25116", STANDARD, INFO, "Clock agrees with the time on record again"),
    EventSpec("21-25117", STANDARD, WARNING, "LRM Server has been away for {away_s} s", "21-25100"),
    EventSpec("21-25118", ALARM, ERROR, "License gives no right to use: {detail}", "21-25112"),
    EventSpec("21-25119", ALARM, ERROR, "Members trust different sets of vendor keys: {members}", "21-25129"),
    EventSpec("21-25120", STANDARD, INFO, "Role is now primary, token {token}: {detail}"),
    EventSpec("21-25121", STANDARD, INFO, "Role is now backup, token {token}: {detail}"),
    EventSpec("21-25122", STANDARD, ERROR, "Fenced: another server holds token {held}, higher than {token}"),
    EventSpec("21-25123", STANDARD, ERROR, "Switchover refused: license lacks ha_redundancy", "21-25110"),
    EventSpec("21-25124", STANDARD, ERROR, "Connection of {client} refused: license lacks {feature}"),
    EventSpec("21-25125", ALARM, WARNING, "etcd identity changed, generation raised to {generation}"),
    EventSpec("21-25126", ALARM, ERROR, "Database went back: {detail}"),
    EventSpec(
        "21-25127", ALARM, WARNING, "Role changes too often: {changes} times in {window_s} s", "21-25128"
    ),
    EventSpec("21-25128", STANDARD, INFO, "Role is stable again"),
    EventSpec("21-25129", STANDARD, INFO, "Members trust the same set of vendor keys again"),
    EventSpec("21-25130", STANDARD, INFO, "Session of {client} opened"),
    EventSpec("21-25131", STANDARD, INFO, "Session of {client} ended: {detail}"),
    EventSpec("21-25132", STANDARD, WARNING, "Connection of {client} refused: {detail}"),
    # 42: Message Server
    EventSpec("42-25010", ALARM, ERROR, "Log database went back: events after position {head} are missing"),
    EventSpec("42-25011", STANDARD, ERROR, "Log database cannot be reached: {detail}", "42-25012"),
    EventSpec("42-25012", STANDARD, INFO, "Log database reached again"),
    EventSpec("42-25013", STANDARD, ERROR, "Log database refuses events: {detail}"),
    EventSpec("42-25014", INTERACTION, WARNING, "Subscriber {client} does not keep up"),
    # 43: Solution Control
    EventSpec(
        "43-25010", STANDARD, ERROR, "Agent of host {host_name} cannot be reached: {detail}", "43-25011"
    ),
    EventSpec("43-25011", STANDARD, INFO, "Agent of host {host_name} reached again"),
    EventSpec("43-25020", STANDARD, INFO, "Start of {client} ordered by {by}"),
    EventSpec("43-25021", STANDARD, INFO, "Stop of {client} ordered by {by}"),
    EventSpec("43-25022", STANDARD, WARNING, "Order for {client} failed: {detail}"),
    EventSpec("43-25030", STANDARD, INFO, "Switchover of {client} ordered by {by}: {detail}"),
    EventSpec("43-25031", STANDARD, INFO, "Switched over from {client} to {primary}"),
    EventSpec(
        "43-25032", STANDARD, ERROR, "Switchover of {client} refused: license lacks ha_redundancy", "21-25110"
    ),
    EventSpec("43-25033", STANDARD, ERROR, "Switchover of {client} failed: {detail}"),
    # 66: License Reporting Manager
    EventSpec("66-25200", STANDARD, INFO, "Bound to Configuration Server under token {token}"),
    EventSpec("66-25201", STANDARD, WARNING, "Bond with Configuration Server lost: {detail}", "66-25200"),
    EventSpec("66-25202", STANDARD, INFO, "Entitlement built from license revision {license_revision}"),
    EventSpec(
        "66-25203",
        STANDARD,
        WARNING,
        "License copy differs: ours is {ours}, the server has {server}",
        "66-25202",
    ),
    EventSpec("66-25204", STANDARD, ERROR, "License cannot be used: {detail}", "66-25202"),
    EventSpec(
        "66-25210", STANDARD, WARNING, "Process {pid} of {client} keeps the usage store: asked to end it"
    ),
    EventSpec("66-25211", STANDARD, WARNING, "Usage store is kept by another process: {detail}"),
    EventSpec("66-25212", STANDARD, ERROR, "Usage store did not take a write: {detail}"),
    EventSpec("66-25213", ALARM, ERROR, "Usage store is lost to this server: {detail}"),
    # 67: License Manager
    EventSpec("67-25010", INTERACTION, WARNING, "Check-out of {feature} by {client} denied: {reason}"),
    EventSpec("67-25011", STANDARD, WARNING, "License of {feature} freed: {client} is silent"),
    EventSpec(
        "67-25012",
        STANDARD,
        WARNING,
        "License of {feature} expired while {used} are held: they stay until check-in",
    ),
    EventSpec("67-25013", STANDARD, ERROR, "Journal cannot be reached: {detail}", "67-25014"),
    EventSpec("67-25014", STANDARD, INFO, "Journal reached again"),
    EventSpec("67-25015", ALARM, ERROR, "Journal is not the one that was opened: {detail}"),
    # 68: Local Control Agent
    EventSpec("68-25010", STANDARD, INFO, "Process {pid} of {client} is watched"),
    EventSpec("68-25011", STANDARD, WARNING, "Process {pid} of {client} has exited: {detail}"),
    EventSpec(
        "68-25012", STANDARD, ERROR, "Process {pid} of {client} hangs, silent for {silent_s} s: killed"
    ),
    EventSpec("68-25013", STANDARD, WARNING, "Process {pid} of {client} killed for {by}: {detail}"),
    EventSpec("68-25014", STANDARD, INFO, "{client} started as process {pid}"),
    EventSpec("68-25015", STANDARD, INFO, "{client} stopped"),
    EventSpec("68-25016", STANDARD, ERROR, "{client} cannot be started: {detail}"),
    EventSpec("68-25017", STANDARD, ERROR, "{client} is not ready in its time: killed"),
    EventSpec("68-25018", STANDARD, WARNING, "{client} does not stop in its time: killed"),
    EventSpec("68-25019", STANDARD, WARNING, "{client} is started again, restart {restarts}"),
    EventSpec("68-25020", STANDARD, ERROR, "Leases of process {pid} cannot be revoked: {detail}", "68-25021"),
    EventSpec("68-25021", STANDARD, INFO, "Leases of process {pid} are revoked"),
    EventSpec("21-25133", STANDARD, WARNING, "Database is kept by another process: {detail}"),
    # 00: any
    EventSpec("00-25000", STANDARD, INFO, "Process started, version {version}"),
    EventSpec("00-25001", STANDARD, INFO, "Process stops: {detail}"),
    EventSpec("00-25010", STANDARD, INFO, "Role is now primary, token {token}: {detail}"),
    EventSpec("00-25011", STANDARD, INFO, "Role is now backup: {detail}"),
    EventSpec("00-25012", STANDARD, ERROR, "Switchover refused: license lacks ha_redundancy", "21-25110"),
    EventSpec("00-25013", STANDARD, ERROR, "Fenced: another server holds a higher token than {token}"),
    EventSpec("00-25014", STANDARD, WARNING, "Suspended: {detail}", "00-25015"),
    EventSpec("00-25015", STANDARD, INFO, "Goes on as primary, token {token}"),
    EventSpec("00-25016", STANDARD, ERROR, "Does not take the role of primary: {detail}", "00-25010"),
    EventSpec("00-25017", ALARM, WARNING, "etcd identity changed, generation raised: {detail}"),
    EventSpec("00-25018", ALARM, ERROR, "etcd identity changed too soon: {detail}"),
    EventSpec("00-25019", ALARM, ERROR, "Database went back: {detail}"),
    EventSpec("00-25020", ALARM, WARNING, "Role changes too often: {detail}", "00-25021"),
    EventSpec("00-25021", STANDARD, INFO, "Role is stable again"),
    EventSpec("00-25022", STANDARD, WARNING, "Role taken over by an operator's order: {detail}"),
)

EVENTS: Final[Mapping[str, EventSpec]] = {spec.number: spec for spec in _CATALOGUE}
"""Every event by its number."""

Sink = Callable[[message_pb2.LogEvent], None]
"""Takes an event without blocking, from any thread."""


class EventLog:
    """Logs events of the catalogue for one process.

    Args:
        application: name of the process's Application object.
        component: its kind, as confserv or lrm.
        sink: where events go besides the structured log.
        now_ms: UTC wall time in milliseconds.
    """

    def __init__(
        self,
        *,
        application: str,
        component: str,
        sink: Sink | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._application = application
        self._component = component
        self._sink = sink
        self._now_ms = now_ms
        self._host = socket.gethostname()
        self._log = structlog.get_logger()

    def attach(self, sink: Sink) -> None:
        """Set where events go besides the structured log."""
        self._sink = sink

    def emit(self, number: str, **attributes: object) -> message_pb2.LogEvent:
        """Log an event now.

        Args:
            number: in the catalogue.
            attributes: values of its text's placeholders, and further facts.

        Raises:
            KeyError: the number is not in the catalogue, or a placeholder has no attribute: a defect.
        """
        spec = EVENTS[number]
        event = message_pb2.LogEvent(
            event_uid=new_id(),
            event_id=number,
            level=spec.level,
            severity=spec.severity,
            text=spec.text.format_map(attributes),
            time_ms=self._now_ms(),
            application=self._application,
            component=self._component,
            host=self._host,
            attributes={name: str(value) for name, value in attributes.items()},
        )
        write = {ERROR: self._log.error, WARNING: self._log.warning}.get(spec.severity, self._log.info)
        write(
            event.text,
            event_id=number,
            application=self._application,
            attributes=dict(event.attributes),
        )
        if self._sink is not None:
            self._sink(event)
        return event
