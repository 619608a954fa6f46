"""The license as servers beside the Configuration Server know it."""

from __future__ import annotations

import datetime as dt
from typing import cast

from confapi.license.v1 import license_pb2
from confclient.channel import ServiceChannel
from confkit.license_follower import LicenseFollower
from tests.support.elected import WITHOUT_HA
from tests.support.licenses import LICENSE, NOW, signed


def response(revision: int, text: bytes) -> license_pb2.WatchLicenseResponse:
    return license_pb2.WatchLicenseResponse(
        revision=license_pb2.LicenseRevision(revision=revision), text=text
    )


def follower(now: dt.datetime = NOW) -> LicenseFollower:
    return LicenseFollower(cast(ServiceChannel, None), now=lambda: now)  # `take` is given what it would read


def test_nothing_is_licensed_before_a_license_was_read() -> None:  # B-40
    assert (False, 0) == (follower().ha_licensed, follower().revision)


def test_a_license_with_the_feature_allows_switchover_from_then_on() -> None:  # B-40
    made, told = follower(), []
    made.subscribe(lambda: told.append(made.revision))
    made.take(response(1, signed(WITHOUT_HA)))
    without = made.ha_licensed
    made.take(response(2, signed(LICENSE)))
    assert (False, True, [1, 2]) == (without, made.ha_licensed, told)


def test_expiry_alone_takes_nothing_away() -> None:  # B-30
    expired = LICENSE.replace(
        "FEATURE ha_redundancy acmed 1.0 permanent", "FEATURE ha_redundancy acmed 1.0 31-jan-2026"
    )
    made = follower()
    made.take(response(1, signed(expired)))
    assert made.ha_licensed


def test_a_text_that_does_not_parse_leaves_the_former_one() -> None:  # B-60
    made = follower()
    made.take(response(1, signed(LICENSE)))
    made.take(response(2, b"FEATURE\n"))
    assert (True, 1) == (made.ha_licensed, made.revision)
