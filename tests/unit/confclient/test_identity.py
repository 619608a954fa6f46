"""Principals: read from certificates, and from nothing that only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confclient.identity import CertificateRole, Principal, principal_from_sans, principal_from_uri

names = st.text(min_size=1).filter(lambda name: not any(0xD800 <= ord(c) <= 0xDFFF for c in name))


@given(names, st.sampled_from(list(CertificateRole)), names)
def test_a_principal_is_read_back_from_its_uri(cluster, role, name):
    principal = Principal(cluster=cluster, role=role, name=name)
    assert principal == principal_from_uri(principal.uri())


@pytest.mark.parametrize(
    "uri",
    ["spiffe://c/lrm/x", "confserv://c/root/x", "confserv://c/lrm", "confserv://c/lrm/x/y", "confserv:///lrm/x",
     "confserv://c/lrm/", "confserv://c/lrm/x?y", "localhost", "http://[", ""],
)  # fmt: skip
def test_what_is_not_exactly_of_the_form_is_nobody(uri):
    assert principal_from_uri(uri) is None


def test_a_certificate_that_claims_two_roles_is_nobody():
    assert principal_from_sans(["confserv://c/lrm/x", "confserv://c/confserv/x", "localhost"]) is None
