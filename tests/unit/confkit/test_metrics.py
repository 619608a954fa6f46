"""Metrics over real TLS: what a scrape reads, and who may scrape."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request

import pytest

from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports
from confkit.metrics import Reading, serve_metrics
from confkit.server import BindError


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return CertificateAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def served(authority):
    (port,) = free_ports(1)
    tls = authority.issue("confserv", "confserv-1", cluster="demo")
    reading = Reading(
        states={"role": ("primary", ("primary", "backup"))},
        numbers={"applied_revision": 7},
        info={"version": "1"},
    )
    stop = serve_metrics(
        f"127.0.0.1:{port}", tls, component="confserv", instance="confserv-1", read=lambda: reading
    )
    yield f"https://127.0.0.1:{port}/metrics", tls
    stop()


def scrape(url, tls, *, own_certificate=True):
    context = ssl.create_default_context(cafile=tls.ca)
    if own_certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    return opener.open(url, timeout=10).read().decode()


def test_a_scrape_reads_the_state_of_the_moment(served):
    # B-33 B-54
    text = scrape(*served)
    names = 'component="confserv",instance="confserv-1"'
    assert [
        f'confserv_role{{{names},role="primary"}} 1.0',
        f'confserv_role{{{names},role="backup"}} 0.0',
    ] == [line for line in text.splitlines() if line.startswith("confserv_role{")]
    assert f"confserv_applied_revision{{{names}}} 7.0" in text
    assert f'confserv_process_info{{{names},version="1"}} 1.0' in text


def test_a_scraper_without_a_certificate_reads_nothing(served):
    with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
        scrape(*served, own_certificate=False)


def test_an_address_in_use_is_named_with_the_cure(authority):
    # B-60
    tls = authority.issue("confserv", "confserv-1", cluster="demo")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(BindError, match=f"cannot serve metrics at {address}: Address already in use"):
            serve_metrics(address, tls, component="c", instance="i", read=Reading)
