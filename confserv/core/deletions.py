"""What a deletion takes with it: refused with the referrers' names, or references cleared, or referrers
deleted too.

What becomes of a referrer is in the table of types, field by field. The whole plan is one transaction (B-61).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from confserv.core.configuration import View
from confserv.core.objects import ConfigObject, Key, Record, TypeName, Value
from confserv.core.refusals import Reason, Refused
from confserv.core.rules import Rules
from confserv.core.types import CUSTOM_TYPE, FieldSpec, OnDelete

NAMED_REFERRERS = 20
"""So many referrers are named in a refusal; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Keys that go, and the objects that lose a reference, as they are to be."""

    deleted: frozenset[Key]
    cleared: tuple[ConfigObject, ...]


def plan_deletion(view: View, rules: Rules, key: Key) -> Deletion:
    """Plan the deletion of `key`. Raises Refused (REFERENCED) and names the referrers."""
    deleted = _cascade(view, rules, key)
    cleared: list[ConfigObject] = []
    in_the_way: list[Record] = []
    for referrer in sorted({r for doomed in deleted for r in view.referrers(doomed)} - deleted):
        record = view.get(referrer)
        assert record is not None, f"index of references names {referrer}"
        changed = _cleared(rules, record, deleted)
        if changed is None:
            in_the_way.append(record)
        else:
            cleared.append(changed)
    in_the_way += _objects_of_type(view, key)
    if in_the_way:
        raise _referenced(view, key, in_the_way)
    return Deletion(frozenset(deleted), tuple(cleared))


def _cascade(view: View, rules: Rules, key: Key) -> set[Key]:
    deleted = {key}
    todo = [key]
    while todo:
        target = todo.pop()
        for referrer in view.referrers(target) - deleted:
            record = view.get(referrer)
            if record is not None and OnDelete.CASCADE in _policies(rules, record, {target}):
                deleted.add(referrer)
                todo.append(referrer)
    return deleted


def _policies(rules: Rules, record: Record, targets: set[Key]) -> set[OnDelete]:
    fields = [reference.field for reference in record.references if reference.target in targets]
    return {_policy(_field(rules, record.key.type, name)) for name in fields}


def _policy(field: FieldSpec | None) -> OnDelete:
    if field is None or (field.on_delete is OnDelete.CLEAR and field.required):
        return OnDelete.REFUSE
    return field.on_delete


def _field(rules: Rules, type: TypeName, name: str) -> FieldSpec | None:
    spec = rules.types.get(type)
    return None if spec is None else spec.fields.get(name)  # tenant and folder are of the envelope: no field


def _cleared(rules: Rules, record: Record, deleted: set[Key]) -> ConfigObject | None:
    if _policies(rules, record, deleted) - {OnDelete.CLEAR}:
        return None
    current = rules.codec.decode(record.data)
    body: dict[str, Value] = dict(current.body)
    for reference in record.references:
        if reference.target in deleted:
            _clear(body, reference.field, reference.target.dbid)
    return replace(current, body=body)


def _clear(body: dict[str, Value], name: str, dbid: int) -> None:
    value = body.get(name)
    left = tuple(item for item in value if item != dbid) if isinstance(value, tuple) else ()
    if left:
        body[name] = left
    else:
        body.pop(name, None)


def _objects_of_type(view: View, key: Key) -> list[Record]:
    if key.type != CUSTOM_TYPE:
        return []
    record = view.get(key)
    keys = view.has_objects(TypeName(record.name)) if record else ()
    return [found for k in keys if (found := view.get(k))]


def _referenced(view: View, key: Key, referrers: list[Record]) -> Refused:
    named = ", ".join(str(record) for record in referrers[:NAMED_REFERRERS])
    more = len(referrers) - NAMED_REFERRERS
    tail = f" and {more} more" if more > 0 else ""
    return Refused(
        Reason.REFERENCED,
        f"{view.get(key)} is referred to by {named}{tail}; change or delete these first",
        referrers=named,
        count=len(referrers),
    )
