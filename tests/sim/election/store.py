"""The pretend database of the simulated world: one fence row, one change log, and the component that stands
on them.

It keeps the rules of `confkit.fence` and nothing else, so that the simulator tries the same rules as the real
stores.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from confkit import fence
from confkit.election.types import (
    Confirmation,
    Epoch,
    GenerationRaise,
    Grounds,
    InstanceName,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
)


@dataclass(slots=True)
class Store:
    """Fence row and log; each entry is the token under which it was written."""

    row: fence.FenceRow | None = None
    log: list[Epoch] = field(default_factory=list)
    ha_licensed: bool = True
    history_id: str = "h1"
    quiet_ms: int = 0

    def restore(self) -> None:
        """Go back to an earlier state, as another history."""
        assert self.row is not None
        del self.log[len(self.log) // 2 :]
        self.row = replace(self.row, history_id="h2")

    def permit(self, row: fence.FenceRow | None, name: InstanceName, known_history: str = "") -> Permission:
        """B-40, and B-51: nobody who knew another history promotes itself."""
        if row is not None and known_history not in ("", row.history_id):
            return Permission(Refusal.WENT_BACK, "the database was restored: an operator decides")
        return fence.may_take_role(row, instance=name, ha_licensed=self.ha_licensed)

    def promote(self, name: InstanceName, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Raise the token, or say why not."""
        check = fence.may_raise(
            self.row,
            epoch=epoch,
            waited_s=grounds.waited_s,
            identity=grounds.identity,
            prior_revision=grounds.prior_revision,
        )
        if check is fence.RaiseCheck.FENCED:
            return Promotion(PromotionResult.FENCED, held=self.row.token if self.row else None)
        if check is fence.RaiseCheck.MUST_WAIT:
            assert self.row is not None
            return Promotion(PromotionResult.MUST_WAIT, wait_s=self.row.granted_ttl_s)
        permission = self.permit(self.row, name)
        if not permission.allowed:
            return Promotion(PromotionResult.NOT_ALLOWED, f"at the raise: {permission.detail}")
        self.row = fence.raised(
            self.row,
            epoch=epoch,
            facts=ProcessFacts(name),
            granted_ttl_s=grounds.granted_ttl_s,
            identity=grounds.identity,
            etcd_revision=grounds.etcd_revision,
            fresh_history_id=self.history_id,
        )
        return Promotion.opened()

    def raise_generation(
        self, expected: fence.FenceRow, identity: str, revision: int, now_ms: int
    ) -> GenerationRaise:
        """Compare and set."""
        if self.row != expected:
            return GenerationRaise.LOST
        if not fence.may_raise_generation(expected, now_ms=now_ms, quiet_ms=self.quiet_ms):
            return GenerationRaise.TOO_SOON
        self.row = fence.raised_generation(
            expected, identity=fence.EtcdIdentity(identity), revision=revision, now_ms=now_ms
        )
        return GenerationRaise.RAISED

    def confirm(self, epoch: Epoch, history_id: str) -> Confirmation:
        """Look at the row."""
        return Confirmation(fence.check_write(self.row, epoch=epoch, history_id=history_id).value)

    def write(self, epoch: Epoch, history_id: str) -> Confirmation:
        """Append under `epoch`, inside one transaction with the fence check, if that holds."""
        verdict = self.confirm(epoch, history_id)
        if verdict is Confirmation.HOLDS:
            self.log.append(epoch)
        return verdict
