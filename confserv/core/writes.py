"""One transaction, from what was asked to what changes: every operation in order, all or none.

`draft` looks at a view (memory and all that waits before), and gives the changes and the answer's objects, or
refuses with the number of the operation. It is deterministic: the same request on the same view gives the
same draft, so that a group that failed is taken apart and drafted again (`ha.md`, The change log).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from confserv.core.applications import ApplicationType
from confserv.core.configuration import Overlay, View
from confserv.core.deletions import plan_deletion
from confserv.core.log import Change
from confserv.core.masks import (
    RESERVED_OPTION,
    RESERVED_SECTION,
    drop_reserved_path,
    guard_reserved_option,
    merge,
    option_read_only,
)
from confserv.core.objects import (
    ENVIRONMENT,
    NOTHING,
    ConfigObject,
    Dbid,
    Key,
    Record,
    State,
    TypeName,
    Value,
    name_key,
)
from confserv.core.operations import MAX_OPERATIONS, Create, Delete, Operation, Target, Update
from confserv.core.refusals import Reason, Refused, invalid
from confserv.core.rules import (
    MAX_OBJECT_BYTES,
    Rules,
    check_free,
    check_not_set,
    check_unchanged,
)
from confserv.core.types import TypeSpec

_APPLICATION = TypeName("Application")
_TEMPLATE = TypeName("ApplicationTemplate")
_TENANT = TypeName("Tenant")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a transaction would change, and the object of each operation as the answer gives it, serialized."""

    changes: tuple[Change, ...]
    results: tuple[bytes, ...]


def draft(
    view: View,
    rules: Rules,
    operations: tuple[Operation, ...],
    *,
    revision: int,
    reserved_value: str | None = None,
) -> Draft:
    """Draft a transaction that would be committed as `revision`.

    `reserved_value` is the option of B-6 as reads show it now. Raises Refused.
    """
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        reason = Reason.TOO_LARGE if operations else Reason.INVALID
        raise Refused(reason, f"operations: 1 to {MAX_OPERATIONS} are possible, not {len(operations)}")
    transaction = _Transaction(view, rules, revision=revision, reserved_value=reserved_value)
    for number, operation in enumerate(operations, start=1):
        try:
            transaction.carry_out(operation)
        except Refused as refusal:
            raise refusal.at_operation(number) if len(operations) > 1 else refusal from None
    return transaction.finished()


class _Transaction:
    """The state between the operations of one transaction."""

    def __init__(self, view: View, rules: Rules, *, revision: int, reserved_value: str | None) -> None:
        self._before = view
        self._view = Overlay(view)
        self._rules = rules
        self._revision = revision
        self._reserved_value = reserved_value
        self._touched: dict[Key, None] = {}
        self._made: list[Key | None] = []
        self._answers: list[Key] = []
        self._last_states: dict[Key, bytes] = {}

    def carry_out(self, operation: Operation) -> None:
        """Carry out one operation on the overlay. Raises Refused."""
        made = None
        match operation:
            case Create():
                key = made = self._create(operation)
            case Update():
                key = self._update(operation)
            case Delete():
                key = self._delete(operation)
        self._made.append(made)
        self._answers.append(key)

    def finished(self) -> Draft:
        """Give the net changes, in the order in which objects were first touched."""
        changes = []
        for key in self._touched:
            before, after = self._before.get(key), self._view.get(key)
            if before is not after:
                changes.append(Change(before, after))
        return Draft(tuple(changes), tuple(self._result(key) for key in self._answers))

    def _result(self, key: Key) -> bytes:
        record = self._view.get(key)
        return self._last_states[key] if record is None else record.data

    def _create(self, operation: Create) -> Key:
        given = operation.config_object
        spec = self._rules.spec(self._view, given.type)
        if given.dbid or given.revision:
            raise invalid("dbid, revision: the server gives them; leave them 0", field="dbid")
        resolved = self._with_defaults(spec, self._resolved(spec, given))
        completed = self._completed(resolved)
        check_not_set(spec.fields.values(), resolved.body, completed.body)
        _refuse_reserved(completed)
        dbid = operation.dbid or self._view.next_dbid(given.type)
        new = replace(completed, dbid=dbid, revision=self._revision)
        if self._view.get(new.key) is not None:
            raise Refused(Reason.ALREADY_EXISTS, f"dbid: {new.key} exists", field="dbid", dbid=new.dbid)
        self._check_and_put(spec, new)
        return new.key

    def _update(self, operation: Update) -> Key:
        record = self._find(operation.target, operation.expected_revision)
        spec = self._rules.spec(self._view, record.key.type)
        current = self._rules.codec.decode(record.data)
        given = self._resolved(spec, operation.config_object)
        _check_same(current, given)
        mask = operation.mask
        if record.serves_configuration:
            given = guard_reserved_option(given, mask, value=self._reserved_value)
            kept = drop_reserved_path(mask)
            if kept is None:
                return record.key
            mask = kept
        if not mask or any(path == "body" or path.startswith("body.") for path in mask):
            check_not_set(spec.fields.values(), given.body, current.body)
        merged = self._completed(merge(current, given, mask), was=current)
        check_unchanged(spec, current, merged)
        if merged != current:
            self._check_and_put(spec, replace(merged, revision=self._revision))
        return record.key

    def _delete(self, operation: Delete) -> Key:
        record = self._find(operation.target, operation.expected_revision)
        if record.key == Key(_TENANT, ENVIRONMENT):
            raise invalid("the environment (tenant 1) cannot be deleted")
        plan = plan_deletion(self._view, self._rules, record.key)
        for changed in plan.cleared:
            spec = self._rules.spec(self._view, changed.type)
            self._check_and_put(spec, replace(changed, revision=self._revision), without=plan.deleted)
        for key in plan.deleted:
            doomed = self._view.get(key)
            assert doomed is not None
            self._last_states[key] = doomed.data
            self._touched.setdefault(key)
            self._view.remove(key)
        return record.key

    def _check_and_put(
        self, spec: TypeSpec, new: ConfigObject, *, without: frozenset[Key] = frozenset()
    ) -> None:
        if not without:
            self._rules.check(self._view, spec, new)
            check_free(self._view, new)
        record = self._rules.codec.encode(new)
        if len(record.data) > MAX_OBJECT_BYTES:
            raise Refused(
                Reason.TOO_LARGE,
                f"{record}: {len(record.data)} bytes, at most {MAX_OBJECT_BYTES} are possible",
                limit=MAX_OBJECT_BYTES,
            )
        self._touched.setdefault(new.key)
        self._view.put(record)

    def _find(self, target: Target, expected_revision: int) -> Record:
        record = find(self._view, self._rules, target)
        if expected_revision and record.revision != expected_revision:
            raise Refused(
                Reason.STALE_REVISION,
                f"{record} has revision {record.revision}, not {expected_revision}; read it again",
                expected=expected_revision,
                actual=record.revision,
            )
        return record

    def _with_defaults(self, spec: TypeSpec, given: ConfigObject) -> ConfigObject:
        state = State.ENABLED if given.state is State.UNSPECIFIED else given.state
        tenant = given.tenant
        if tenant == NOTHING and (not spec.in_tenant or spec.is_custom):
            tenant = ENVIRONMENT
        body = given.body
        if spec.name == _TENANT and "parent" not in body and self._view.get(Key(_TENANT, ENVIRONMENT)):
            body = {**body, "parent": ENVIRONMENT}
        return replace(given, state=state, tenant=tenant, body=body)

    def _completed(self, given: ConfigObject, *, was: ConfigObject | None = None) -> ConfigObject:
        """Give an application with what it takes from its template, unless the rules will refuse it anyway."""
        if given.type != _APPLICATION:
            return given
        template = given.body.get("template")
        found = self._view.get(Key(_TEMPLATE, Dbid(template))) if isinstance(template, int) else None
        if found is None:
            return given
        values = self._rules.codec.decode(found.data).body
        kind = values.get("application_type") if was is None else was.body.get("application_type")
        body: dict[str, Value] = {**given.body, "application_type": kind}
        if "version" not in body and "version" in values:
            body["version"] = values["version"]
        return replace(given, body=body)

    def _resolved(self, spec: TypeSpec, given: ConfigObject) -> ConfigObject:
        """Give the object with every negative reference replaced by the number that an earlier operation made."""
        if not _has_negative(given):
            return given
        body = dict(given.body)
        for field in spec.fields.values():
            value = body.get(field.name)
            if field.reference is None or value is None:
                continue
            if isinstance(value, tuple):
                body[field.name] = tuple(
                    self._resolve(field.reference, v, f"body.{field.name}") for v in value
                )
            else:
                body[field.name] = self._resolve(field.reference, value, f"body.{field.name}")
        tenant = self._resolve(_TENANT, given.tenant, "tenant")
        folder = self._resolve(TypeName("Folder"), given.folder, "folder")
        assert isinstance(tenant, int)
        assert isinstance(folder, int)
        return replace(given, tenant=Dbid(tenant), folder=Dbid(folder), body=body)

    def _resolve(self, type: TypeName, value: Value, where: str) -> Value:
        if not isinstance(value, int) or value >= 0:
            return value
        made = self._made[-value - 1] if -value <= len(self._made) else None
        if made is None or made.type != type:
            raise invalid(f"{where}: {value} is no {type} made by an earlier operation", field=where)
        return made.dbid


def find(view: View, rules: Rules, target: Target) -> Record:
    """Find one object by number or name. Raises Refused (UNKNOWN_TYPE, NOT_FOUND)."""
    spec = rules.spec(view, target.type)
    if target.dbid is not None:
        record = view.get(Key(target.type, target.dbid))
    else:
        tenant = target.tenant or (ENVIRONMENT if not spec.in_tenant or spec.is_custom else NOTHING)
        key = view.find(
            name_key(spec.scope, type=target.type, tenant=tenant, folder=target.folder, name=target.name)
        )
        record = None if key is None else view.get(key)
    if record is None:
        raise Refused(Reason.NOT_FOUND, f"there is no {target}", type=target.type)
    return record


def _has_negative(given: ConfigObject) -> bool:
    """Whether anything may refer to an earlier operation of the transaction."""
    values = (given.tenant, given.folder, *given.body.values())
    items = (item for value in values for item in (value if isinstance(value, tuple) else (value,)))
    return any(isinstance(item, int) and item < 0 for item in items)


def _check_same(current: ConfigObject, given: ConfigObject) -> None:
    if given.dbid not in (NOTHING, current.dbid):
        raise invalid(f"object.dbid: {given.dbid} is not the key's {current.dbid}", field="dbid")
    if given.type and given.type != current.type:
        raise Refused(
            Reason.IMMUTABLE, f"object.type: {given.type} is not the key's {current.type}", field="type"
        )
    if given.tenant not in (NOTHING, current.tenant):
        raise Refused(
            Reason.IMMUTABLE,
            f"tenant: {current.type} {current.name!r} stays in {current.tenant}",
            field="tenant",
        )


def _refuse_reserved(new: ConfigObject) -> None:
    serves = (
        new.type == _APPLICATION and new.body.get("application_type") == ApplicationType.CONFIGURATION_SERVER
    )
    if serves and RESERVED_OPTION in new.options.get(RESERVED_SECTION, {}):
        raise option_read_only()
