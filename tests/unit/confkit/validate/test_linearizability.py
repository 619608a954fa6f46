"""The linearizability checker: known histories, and every small random one against brute force."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confkit.validate import Operation, linearizable


def write(start, end, value, *, maybe=False, **more):
    return Operation("o", start, end, True, value, maybe, **more)


def read(start, end, value):
    return Operation("o", start, end, False, value)


@pytest.mark.parametrize(
    ("history", "explained"),
    [
        pytest.param([write(0, 1, "a"), read(2, 3, "a")], True, id="a read after a write sees it"),
        pytest.param([write(0, 1, "a"), read(2, 3, None)], False, id="a stale read"),
        pytest.param([write(0, 9, "a"), read(1, 2, "a"), read(3, 4, None)], False, id="seen, then unseen"),
        pytest.param(
            [write(0, 9, "a"), read(1, 2, None), read(3, 4, "a")], True, id="during the write, either"
        ),
        pytest.param(
            [write(0, 1, "a", maybe=True), read(2, 3, None), read(4, 5, "a")], True, id="late, if unknown"
        ),
        pytest.param([write(0, 1, "a", maybe=True), read(2, 3, None)], True, id="never, if unknown"),
        pytest.param(
            [write(0, 1, "a"), write(2, 3, "b", expected="q")], False, id="a comparison that was wrong"
        ),
        pytest.param([read(0, 1, "ghost")], False, id="a value that nobody wrote"),
    ],
)
def test_known_histories(history, explained):
    # B-51
    assert explained == (linearizable(history) == [])


def test_objects_are_judged_apart_and_named():
    bad = Operation(("Host", 7), 0, 1, False, "ghost")
    assert ["I-5: no order of 1 operations explains the history of ('Host', 7)"] == [
        str(v) for v in linearizable([bad, write(0, 1, "a")])
    ]


def brute_force(history):
    required = [o for o in history if not o.maybe]
    optional = [o for o in history if o.maybe]
    for size in range(len(optional) + 1):
        for chosen in itertools.combinations(optional, size):
            if any(legal(order) for order in itertools.permutations(required + list(chosen))):
                return True
    return False


def legal(order):
    for i, first in enumerate(order):
        if any((math.inf if later.maybe else later.ended_s) < first.started_s for later in order[i + 1 :]):
            return False
    value = None
    for operation in order:
        if operation.writes:
            value = operation.value
        elif operation.value != value:
            return False
    return True


@st.composite
def histories(draw):
    operations = []
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, 8))
        end = start + draw(st.integers(1, 5))
        value = draw(st.sampled_from([None, "a", "b"]))
        if draw(st.booleans()):
            operations.append(write(start, end, value or "a", maybe=draw(st.booleans())))
        else:
            operations.append(read(start, end, value))
    return operations


@settings(max_examples=400, deadline=None)
@given(histories())
def test_it_agrees_with_brute_force(history):
    assert brute_force(history) == (linearizable(history) == [])


def test_five_hundred_overlapping_writes_of_one_object_are_judged_in_time():
    history = [write(i, i + 3, i) for i in range(500)]
    assert [] == linearizable(history)
