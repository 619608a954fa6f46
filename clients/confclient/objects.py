"""Reading and writing objects of the configuration.

Every write carries its own UUIDv7, so that the library may repeat it until it is answered and it is applied once
(B-51).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from google.protobuf import field_mask_pb2

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.channel import ServiceChannel
from confclient.request_ids import new_id
from confclient.rpcs import (
    CREATE_OBJECT,
    DELETE_OBJECT,
    GET_OBJECT,
    LIST_HISTORY,
    LIST_OBJECTS,
    TRANSACT,
    UPDATE_OBJECT,
)

CURRENT = config_pb2.CONSISTENCY_CURRENT
POSSIBLY_STALE = config_pb2.CONSISTENCY_POSSIBLY_STALE

_PAGE = 1000


def key_of(
    type_: str, *, dbid: int | None = None, name: str | None = None, tenant: int = 0, folder: int = 0
) -> objects_pb2.ObjectKey:
    """Name an object by number, or by name in the scope of its type.

    Raises:
        ValueError: neither, or both, are given.
    """
    if (dbid is None) == (name is None):
        raise ValueError("name an object by its dbid or by its name, not by both or neither")
    if dbid is not None:
        return objects_pb2.ObjectKey(type=type_, dbid=dbid)
    return objects_pb2.ObjectKey(type=type_, name=name, tenant=tenant, folder=folder)


def create(item: objects_pb2.ConfigObject) -> config_pb2.Operation:
    """The operation that creates an object; a reference of -1 is the object made by the first operation."""
    return config_pb2.Operation(create=config_pb2.CreateOperation(object=item))


def update(
    key: objects_pb2.ObjectKey,
    item: objects_pb2.ConfigObject,
    *,
    mask: Sequence[str] = (),
    expected_revision: int = 0,
) -> config_pb2.Operation:
    """The operation that changes an object.

    Args:
        key: which one.
        item: the new values.
        mask: which fields, as `options.SECTION.OPTION`; none: all.
        expected_revision: revision that the object must have; 0: any.
    """
    return config_pb2.Operation(
        update=config_pb2.UpdateOperation(
            key=key,
            object=item,
            update_mask=field_mask_pb2.FieldMask(paths=mask) if mask else None,
            expected_revision=expected_revision,
        )
    )


def delete(key: objects_pb2.ObjectKey, *, expected_revision: int = 0) -> config_pb2.Operation:
    """The operation that deletes an object; `expected_revision` 0: whatever its revision is."""
    return config_pb2.Operation(
        delete=config_pb2.DeleteOperation(key=key, expected_revision=expected_revision)
    )


class Objects:
    """The configuration's objects at the primary. Each call takes `timeout_s`; None means the channel's."""

    def __init__(self, channel: ServiceChannel) -> None:
        """`channel` leads to the Configuration Server."""
        self._channel = channel

    async def get(
        self,
        key: objects_pb2.ObjectKey,
        *,
        consistency: config_pb2.Consistency = CURRENT,
        timeout_s: float | None = None,
    ) -> objects_pb2.ConfigObject:
        """Read one object.

        Raises:
            NotFoundError, UnknownTypeError: there is none.
        """
        request = config_pb2.GetObjectRequest(key=key, consistency=consistency)
        return (await self._channel.unary(GET_OBJECT, request, timeout_s=timeout_s)).object

    async def list(
        self,
        type_: str,
        *,
        tenant: int = 0,
        folder: int = 0,
        name_prefix: str = "",
        timeout_s: float | None = None,
    ) -> list[objects_pb2.ConfigObject]:
        """Read all objects of a type, by dbid, page by page; raises UnknownTypeError."""
        request = config_pb2.ListObjectsRequest(
            type=type_, tenant=tenant, folder=folder, name_prefix=name_prefix, page_size=_PAGE
        )
        found: list[objects_pb2.ConfigObject] = []
        while True:
            page = await self._channel.unary(LIST_OBJECTS, request, timeout_s=timeout_s)
            found.extend(page.objects)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def create(
        self, item: objects_pb2.ConfigObject, *, reason: str = "", timeout_s: float | None = None
    ) -> config_pb2.CreateObjectResponse:
        """Create an object; raises InvalidError, AlreadyExistsError, NotFoundError (a reference), …"""
        request = config_pb2.CreateObjectRequest(context=_context(reason), create=create(item).create)
        return await self._channel.unary(CREATE_OBJECT, request, timeout_s=timeout_s)

    async def update(
        self,
        key: objects_pb2.ObjectKey,
        item: objects_pb2.ConfigObject,
        *,
        mask: Sequence[str] = (),
        expected_revision: int = 0,
        reason: str = "",
        timeout_s: float | None = None,
    ) -> config_pb2.UpdateObjectResponse:
        """Change an object, as the function `update`; raises StaleRevisionError, OptionReadOnlyError, …"""
        operation = update(key, item, mask=mask, expected_revision=expected_revision)
        request = config_pb2.UpdateObjectRequest(context=_context(reason), update=operation.update)
        return await self._channel.unary(UPDATE_OBJECT, request, timeout_s=timeout_s)

    async def delete(
        self,
        key: objects_pb2.ObjectKey,
        *,
        expected_revision: int = 0,
        reason: str = "",
        timeout_s: float | None = None,
    ) -> config_pb2.Commit:
        """Delete an object; raises ReferencedError when others refer to it (B-61), …"""
        operation = delete(key, expected_revision=expected_revision)
        request = config_pb2.DeleteObjectRequest(context=_context(reason), delete=operation.delete)
        return (await self._channel.unary(DELETE_OBJECT, request, timeout_s=timeout_s)).commit

    async def transact(
        self,
        operations: Sequence[config_pb2.Operation],
        *,
        reason: str = "",
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> config_pb2.TransactResponse:
        """Carry out operations in order, all or none.

        Args:
            operations: 1 to 1000, made by `create`, `update` and `delete`.
            reason: kept with the change.
            request_id: a UUIDv7 of the caller's, to repeat it after a restart of the caller; None: a new one.
            timeout_s: deadline in seconds.
        """
        request = config_pb2.TransactRequest(context=_context(reason, request_id), operations=operations)
        return await self._channel.unary(TRANSACT, request, timeout_s=timeout_s)

    async def history(
        self, *, key: objects_pb2.ObjectKey | None = None, after_revision: int = 0, limit: int = 0
    ) -> AsyncGenerator[config_pb2.HistoryEntry, None]:
        """Read the change log from `after_revision` on, of one object or of all; at most `limit`, 0: all.

        Raises:
            CompactedError: it does not go back so far.
        """
        request = config_pb2.ListHistoryRequest(key=key, after_revision=after_revision, limit=_PAGE)
        given = 0
        while True:
            page = await self._channel.unary(LIST_HISTORY, request)
            for entry in page.entries:
                yield entry
                given += 1
                if given == limit:
                    return
            if page.through_revision <= request.after_revision:
                return
            request.after_revision = page.through_revision


def _context(reason: str, request_id: str | None = None) -> config_pb2.WriteContext:
    return config_pb2.WriteContext(request_id=request_id or new_id(), reason=reason)
