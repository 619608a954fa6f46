"""The tables and queries of the usage store in DuckDB.

Why apart: the queries are the second implementation of `lrm.core.intervals`, made for columns instead of
rows; they are read best beside one another, and the contract suite compares both.

Nothing is kept per second. Cost: a commit looks up the sessions that it names; a report sorts the sessions
that touch its days.
"""

# ruff: noqa: S608  (these texts are put together from constants of this module; values are always parameters)

from __future__ import annotations

from typing import Final

FACT_COLUMNS: Final = (
    "source",
    "id",
    "version",
    "tenant",
    "item",
    "seat",
    "place",
    "device",
    "person",
    "start_ms",
    "end_ms",
    "last_seen_ms",
    "attributes",
)

_FACT: Final = """
    key          UBIGINT NOT NULL,
    id_order     UBIGINT NOT NULL,
    source       VARCHAR NOT NULL,
    id           VARCHAR NOT NULL,
    version      INTEGER NOT NULL,
    tenant       VARCHAR NOT NULL,
    item         VARCHAR NOT NULL,
    seat         VARCHAR NOT NULL,
    place        VARCHAR NOT NULL,
    device       VARCHAR NOT NULL,
    person       VARCHAR NOT NULL,
    start_ms     BIGINT NOT NULL,
    end_ms       BIGINT,
    last_seen_ms BIGINT,
    attributes   VARCHAR NOT NULL
"""

SCHEMA: Final = f"""
create table if not exists fence (record VARCHAR NOT NULL);
create table if not exists progress (ingest_number BIGINT NOT NULL);
insert into progress select 0 where not exists (from progress);
create table if not exists fact (ingest_number BIGINT NOT NULL, {_FACT});
create table if not exists replaced_fact (replaced_by BIGINT NOT NULL, {_FACT});
create table if not exists batch (
    source        VARCHAR NOT NULL,
    sequence      BIGINT NOT NULL,
    digest        BLOB NOT NULL,
    sessions      INTEGER NOT NULL,
    ingest_number BIGINT NOT NULL,
    received_ms   BIGINT NOT NULL
);
create table if not exists source (source VARCHAR NOT NULL, latest_ms BIGINT NOT NULL);
create table if not exists entitlement_revision (
    license_revision BIGINT NOT NULL,
    license_sha256   VARCHAR NOT NULL,
    effective_s      BIGINT NOT NULL,
    customer         VARCHAR NOT NULL,
    site             VARCHAR NOT NULL,
    issued           VARCHAR NOT NULL
);
create table if not exists entitlement_line (
    license_revision BIGINT NOT NULL,
    position         INTEGER NOT NULL,
    item             VARCHAR NOT NULL,
    quantity         BIGINT NOT NULL,
    burst            BIGINT NOT NULL,
    kind             VARCHAR NOT NULL,
    unit             VARCHAR NOT NULL,
    order_number     VARCHAR NOT NULL,
    description      VARCHAR NOT NULL,
    valid_from_s     BIGINT,
    valid_until_s    BIGINT
);
"""

KEY: Final = "md5_number_lower(concat(length(source), ':', source, id))"
"""A number for the key of a session; the length keeps (a, bc) and (ab, c) apart. Two sessions may share one."""

KNOWN_ROWS: Final = f"""
select f.rowid from fact f join (select distinct {KEY} as key from incoming) using (key)
where f.id_order between $first and $last
"""
"""Where sessions of the incoming ids are, and perhaps a few others. Ids that begin with the time, as those of the
client library do, lie together, so that only the newest part of the table is read; `id_order` is what says so.
"""

KNOWN_FACTS: Final = (
    f"select rowid, {', '.join(FACT_COLUMNS)} from fact where rowid in (select unnest($rows))"
)

INSERT_FACTS: Final = f"""
insert into fact (ingest_number, key, id_order, {", ".join(FACT_COLUMNS)})
select number, {KEY}, id_order, {", ".join(FACT_COLUMNS)} from outgoing
"""

INSERT_REPLACED: Final = INSERT_FACTS.replace("into fact (ingest_number", "into replaced_fact (replaced_by")

# The sessions that touch the time asked for, in seconds. What still runs lasts to the end of it, unless its source has
# spoken of a time behind its last sign of life and the timeout (`lrm.core.closing`).
_SESSIONS: Final = """
session as (
    select tenant, item, seat,
           start_ms // 1000 as start_s,
           least(
               coalesce(
                   end_ms, case when source.latest_ms > alive_ms + $timeout_ms then alive_ms + $timeout_ms end
               ) // 1000,
               $until_s::bigint
           ) as end_s
    from (select *, greatest(start_ms, coalesce(last_seen_ms, 0)) as alive_ms from fact) f
    left join source using (source)
    where start_ms < $until_s::bigint * 1000
      and (end_ms is null or end_ms >= $from_s::bigint * 1000)
      and ($tenant is null or tenant = $tenant)
      and ($item is null or item = $item)
)"""

# One row for each day that a session touches, clipped to it.
_DAYS: Final = """
part as (
    select tenant, item, seat, day,
           greatest(start_s, day * 86400) as start_s,
           least(end_s, (day + 1) * 86400) as end_s
    from (
        select *, unnest(range(
            greatest(start_s, $from_s::bigint) // 86400, greatest(end_s - 1, start_s) // 86400 + 1
        )) as day
        from session
    )
)"""

# The whole time asked for as one "day".
_WHOLE: Final = """
part as (
    select tenant, item, seat, 0 as day, greatest(start_s, $from_s::bigint) as start_s, end_s from session
)"""

# Pieces of a seat's use that do not overlap, each beginning where those before it have ended; then, what changes
# when.
_CHANGES: Final = """
apart as (
    select tenant, item, day,
           greatest(start_s, coalesce(max(end_s) over earlier, start_s)) as start_s, end_s
    from part
    where start_s < end_s
    window earlier as (
        partition by tenant, item, day, seat order by start_s
        rows between unbounded preceding and 1 preceding
    )
),
change as (
    select tenant, item, day, at_s, sum(change) as change
    from (
        select tenant, item, day, start_s as at_s, 1 as change from apart where start_s < end_s
        union all
        select tenant, item, day, end_s as at_s, -1 as change from apart where start_s < end_s
    )
    group by all
    having sum(change) <> 0
)"""

PEAKS: Final = f"""
with {_SESSIONS}, {_DAYS}, {_CHANGES},
everyone as (
    from change
    union all
    select '' as tenant, item, day, at_s, sum(change) as change
    from change where $tenant is null group by all having sum(change) <> 0
),
level as (
    select tenant, item, day, at_s, sum(change) over ordered as value,
           lead(at_s, 1, least((day + 1) * 86400, $until_s::bigint)) over ordered - at_s as seconds
    from everyone
    window ordered as (partition by tenant, item, day order by at_s)
),
height as (
    select tenant, item, day, value, max(at_s) as at_s, sum(seconds) as seconds from level group by all
),
peak as (
    select tenant, item, day, max(value) as value,
           arg_max(at_s, value) as at_s, arg_max(seconds, value) as seconds
    from height group by all
),
touched as (
    select tenant, item, day, count(*) as sessions from part group by all
    union all
    select '' as tenant, item, day, count(*) as sessions from part where $tenant is null group by all
)
select t.tenant, t.item, t.day, coalesce(p.value, 0)::bigint as value,
       case when p.value > 0 then p.at_s end as at_s,
       coalesce(p.seconds, least((t.day + 1) * 86400, $until_s::bigint) - t.day * 86400)::bigint as seconds,
       t.sessions
from touched t left join peak p using (tenant, item, day)
"""

USE: Final = f"""
with {_SESSIONS}, {_WHOLE}, {_CHANGES}
select at_s, sum(change)::bigint as change from change group by at_s
"""
