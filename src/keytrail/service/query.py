"""`query`: the events in archives that a KQL query matches, in the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator

from keytrail.search import Options, Pattern
from keytrail.service.requests import Found, Observe, QueryRequest, Report
from keytrail.service.running import Run, open_sources, read_limits


def run_query(
    request: QueryRequest, *, observe: Observe | None = None, report: Report | None = None
) -> Iterator[Found]:
    """Yield the events that match, each once. Raises QueryError before anything is read.

    What cannot be read is told to `report`. A source that cannot be reached is told to it as well and raised at the
    end.
    """
    run = Run(
        sources=open_sources(request.sources, request.settings),
        patterns=(Pattern("query", request.query, strict=request.strict),),
        settings=request.settings,
        options=Options(
            limits=read_limits(request.settings), since=request.since, until=request.until, keep_raw=request.raw
        ),
        jobs=request.jobs,
        observe=observe,
        report=report,
    )
    seen: set[bytes] = set()
    for result in run.results():
        for match in result.matches:
            key = bytes.fromhex(match.id)
            if key not in seen:
                seen.add(key)
                run.alerts += 1
                yield Found(match.document.decode("ascii"), match.raw)
    if run.failures:
        raise run.failures[0]
