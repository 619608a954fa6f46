"""Planted mistakes: each takes one rule away. The simulator, or a test of its own, must find every one."""

from __future__ import annotations

import pytest

from confkit import fence
from confkit.election import core, machine, tenure, upkeep
from confkit.election import messages as msg
from confkit.election.machine import Machine
from confkit.election.types import Confirmation, Epoch, LeaderRecord
from tests.sim.election.store import Store


def ignore_the_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "guard_of", lambda self, held: machine.NEVER)


def let_unknown_renewals_extend(patch: pytest.MonkeyPatch) -> None:
    def on_renewed(m: Machine, event: msg.Renewed, now_s: float) -> None:
        if event.grant is None and event.lease == m.lease:
            m.renewed_s = max(m.renewed_s, event.sent_s)
        upkeep.on_renewed(m, event, now_s)

    patch.setitem(core._HANDLERS, msg.Renewed, on_renewed)


def count_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def on_renewed(m: Machine, event: msg.Renewed, now_s: float) -> None:
        upkeep.on_renewed(m, msg.Renewed(event.lease, event.grant, now_s), now_s)

    patch.setitem(core._HANDLERS, msg.Renewed, on_renewed)


def resume_when_the_key_still_looks_ours(patch: pytest.MonkeyPatch) -> None:
    def rewrite(m: Machine, found: LeaderRecord | None) -> None:
        if found is None or not m.is_own(found):
            tenure.lose(m, "handed over", successor=found)
        else:
            tenure.suspend(m, "read, not rewritten")

    patch.setattr(tenure, "rewrite", rewrite)


def open_at_once_after_a_wipe(patch: pytest.MonkeyPatch) -> None:
    real = fence.may_raise
    patch.setattr(fence, "may_raise", lambda row, **known: real(row, **{**known, "waited_s": machine.NEVER}))


def resume_without_asking_the_fence_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "confirm", lambda self, epoch, history_id: Confirmation.HOLDS)


def write_without_asking_the_fence_row(patch: pytest.MonkeyPatch) -> None:
    def write(self: Store, epoch: Epoch, history_id: str) -> Confirmation:
        self.log.append(epoch)
        return Confirmation.HOLDS

    patch.setattr(Store, "write", write)


def take_up_tokens_that_were_given_up(patch: pytest.MonkeyPatch) -> None:
    real = Machine.forget_tenure

    def forget_tenure(self: Machine) -> None:
        before = self.given_up
        real(self)
        self.given_up = before

    patch.setattr(Machine, "forget_tenure", forget_tenure)


def take_the_key_of_a_former_life(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Machine, "is_own", lambda self, leader: leader is not None and leader.instance == self.facts.instance
    )
