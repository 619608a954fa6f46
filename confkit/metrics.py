"""Prometheus metrics of a process, over TLS with client certificates like everything else.

A scrape asks the process for its state at that moment; nothing is counted twice or kept in two places. The
address comes from the setting `metrics`; none is opened by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from confclient.credentials import TlsFiles
from confkit.server import BindError
from confkit.settings import split_address


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a process at one scrape.

    Attributes:
        states: name → the value that holds now, of those that it can have: one series each, 1 or 0.
        numbers: name → value.
        info: facts as text, as version.
    """

    states: Mapping[str, tuple[str, Iterable[str]]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)


class _Process(Collector):
    def __init__(self, component: str, instance: str, read: Callable[[], Reading]) -> None:
        self._names = {"component": component, "instance": instance}
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Everything, as it is now."""
        reading = self._read()
        labels, values = list(self._names), list(self._names.values())
        for name, number in reading.numbers.items():
            metric = GaugeMetricFamily(f"confserv_{name}", f"{name} of the process", labels=labels)
            metric.add_metric(values, number)
            yield metric
        for name, (now, possible) in reading.states.items():
            metric = GaugeMetricFamily(
                f"confserv_{name}", f"1 for the {name} that holds", labels=[*labels, name]
            )
            for state in possible:
                metric.add_metric([*values, state], float(state == now))
            yield metric
        info = InfoMetricFamily("confserv_process", "the process", labels=labels)
        info.add_metric(values, dict(reading.info))
        yield info


def serve_metrics(
    address: str, tls: TlsFiles, *, component: str, instance: str, read: Callable[[], Reading]
) -> Callable[[], None]:
    """Serve a process's metrics until the answer is called.

    Args:
        address: host:port.
        tls: the process's files; a scraper needs a certificate of the same authority.
        component: as confserv.
        instance: name of the process.
        read: gives its state; called from another thread at each scrape.

    Raises:
        BindError: the address cannot be bound.
    """
    registry = CollectorRegistry()
    registry.register(_Process(component, instance, read))
    host, port = split_address(address)
    try:
        server, thread = start_http_server(
            port,
            host,
            registry,
            certfile=str(tls.certificate),
            keyfile=str(tls.key),
            client_cafile=str(tls.ca),
            client_auth_required=True,
        )
    except OSError as error:
        raise BindError(
            f"cannot serve metrics at {address}: {error.strerror}; choose another `metrics`"
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
