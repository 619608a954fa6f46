"""What an update changes: the new values of a full update, or of the fields that a mask names.

A path is `name`, `state`, `folder`, `options`, `options.SECTION`, `options.SECTION.OPTION`, `annex…` alike,
`body` or `body.FIELD`. A path whose value is absent clears it. The section of a path ends at its first dot;
what follows is the option, dots included. The option `license` of a Configuration Server (B-6) is guarded
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from confserv.core.objects import ConfigObject, Options, State, Value
from confserv.core.refusals import Reason, Refused, invalid

RESERVED_SECTION = "confserv"
RESERVED_OPTION = "license"
FULL = ("name", "state", "folder", "options", "annex", "body")


def merge(current: ConfigObject, new: ConfigObject, mask: tuple[str, ...]) -> ConfigObject:
    """Give `current` with what `mask` names taken from `new`. Raises Refused (INVALID) for a path that
    names nothing."""
    merged = current
    for path in mask or FULL:
        merged = _merge_path(merged, new, path)
    return merged


def guard_reserved_option(new: ConfigObject, mask: tuple[str, ...], *, value: str | None) -> ConfigObject:
    """Give `new` without the option that the server owns; `value` is what reads show of it now, None for
    nothing.

    Raises Refused (OPTION_READ_ONLY) when the request would set it to another value, or names it in order to
    delete it. B-6.
    """
    given = new.options.get(RESERVED_SECTION, {}).get(RESERVED_OPTION)
    named = f"options.{RESERVED_SECTION}.{RESERVED_OPTION}" in mask
    if given is None and not named:
        return new
    if given is None or given != value:
        raise option_read_only()
    return replace(new, options=_without_reserved(new.options))


def drop_reserved_path(mask: tuple[str, ...]) -> tuple[str, ...] | None:
    """Give the mask without the reserved option, None when nothing else was named."""
    if not mask:
        return mask
    kept = tuple(path for path in mask if path != f"options.{RESERVED_SECTION}.{RESERVED_OPTION}")
    return kept or None


def option_read_only() -> Refused:
    """Give the refusal of B-6."""
    return Refused(
        Reason.OPTION_READ_ONLY,
        f"option {RESERVED_OPTION!r} in section {RESERVED_SECTION!r} of a Configuration Server shows the stored "
        "license and is read-only; load a license with confserv -license FILE, and leave the option out",
        section=RESERVED_SECTION,
        option=RESERVED_OPTION,
    )


def _without_reserved(options: Options) -> Options:
    section = {k: v for k, v in options[RESERVED_SECTION].items() if k != RESERVED_OPTION}
    rest = {name: values for name, values in options.items() if name != RESERVED_SECTION}
    return {**rest, RESERVED_SECTION: section} if section else rest


def _merge_path(current: ConfigObject, new: ConfigObject, path: str) -> ConfigObject:
    head, _, rest = path.partition(".")
    if head in ("options", "annex"):
        values = _merge_options(getattr(current, head), getattr(new, head), rest)
        return replace(current, options=values) if head == "options" else replace(current, annex=values)
    if head == "body":
        return replace(current, body=_merge_field(current.body, new.body, rest))
    if rest or head not in FULL:
        raise invalid(
            f"update_mask: no such path {path!r}; use {', '.join(FULL)}", field="update_mask", path=path
        )
    if head == "name":
        return replace(current, name=new.name)
    if head == "folder":
        return replace(current, folder=new.folder)
    return replace(current, state=current.state if new.state is State.UNSPECIFIED else new.state)


def _merge_options(current: Options, new: Options, rest: str) -> Options:
    if not rest:
        return new
    section, dot, option = rest.partition(".")
    if not section or (dot and not option):
        raise invalid(
            f"update_mask: {rest!r} is no SECTION or SECTION.OPTION", field="update_mask", path=rest
        )
    others = {name: values for name, values in current.items() if name != section}
    if not dot:
        return {**others, section: new[section]} if section in new else others
    values = {name: value for name, value in current.get(section, {}).items() if name != option}
    if option in new.get(section, {}):
        values[option] = new[section][option]
    return {**others, section: values} if values else others


def _merge_field(current: Mapping[str, Value], new: Mapping[str, Value], name: str) -> Mapping[str, Value]:
    if not name:
        return new
    others = {other: value for other, value in current.items() if other != name}
    return {**others, name: new[name]} if name in new else others
