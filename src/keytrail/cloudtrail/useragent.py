"""User agents as Elasticsearch's user_agent processor sees them: uap-core's patterns, in ECS names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from keytrail.cloudtrail.flat import Flat
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at

if TYPE_CHECKING:
    from ua_parser.core import OS, Result, UserAgent

USER_AGENT_FIELDS = tuple(
    f"user_agent.{name}" for name in ("name", "version", "os.name", "os.version", "os.full", "device.name")
)
# CloudTrail cuts user agents at 1 KB; longer ones are parsed but not remembered.
_LONGEST_CACHED = 1024


def user_agent_fields(record: Json, problems: list[str]) -> Flat:
    """Every field but user_agent.original. Source: spec, section 4."""
    text = at(record, "userAgent")
    if not isinstance(text, str):
        return {}
    # A copy, because the caller may change its document.
    return dict(_cached(text) if len(text) <= _LONGEST_CACHED else _parse(text))


def prepare() -> None:
    """Compile the patterns now; otherwise the first user agent waits for it."""
    _parser()


def _parse(text: str) -> Flat:
    # A lone surrogate is legal in JSON and not in UTF-8, which the parser's engine reads.
    result = _parser()(text.encode("utf-8", "replace").decode())
    agent, system, device = result.user_agent, result.os, result.device
    fields: Flat = {
        "user_agent.name": agent.family if agent else "Other",
        "user_agent.device.name": device.family if device else "Other",
    }
    if agent:
        fields["user_agent.version"] = _version(agent)
    if system:
        version = _version(system)
        fields["user_agent.os.name"] = system.family
        fields["user_agent.os.version"] = version
        fields["user_agent.os.full"] = f"{system.family} {version}" if version else ""
    return fields


_cached = lru_cache(maxsize=4096)(_parse)


def _version(found: UserAgent | OS) -> str:
    """The parts of a version up to the first that is missing."""
    parts = []
    for part in (found.major, found.minor, found.patch, found.patch_minor):
        if not part:
            break
        parts.append(part)
    return ".".join(parts)


@cache
def _parser() -> Callable[[str], Result]:
    # Compiling the patterns takes a fifth of a second, so it waits until somebody asks for a user agent; the lazy
    # loader leaves it to the resolver, the other compiles them once more for Python's own engine.
    from ua_parser import Parser
    from ua_parser.loaders import load_lazy_builtins
    from ua_parser.regex import Resolver

    return Parser(Resolver(load_lazy_builtins())).parse
