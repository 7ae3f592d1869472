"""What makes an investigation worth doing again: a new record that names the key, or a principal that gained access."""

from __future__ import annotations

from itertools import chain

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.compare import gained_principals
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Investigation
from keytrail.investigate.related import related_wants
from keytrail.investigate.services import names_of


def watched_values(change: PolicyChange, found: Investigation, limits: Limits) -> frozenset[str]:
    """The values of which a record has to hold one to touch the key or a principal that gained access.

    The short names of aliases are not among them: every account has keys that are called alike.
    """
    names = names_of(change.key, (alias.name for alias in found.key.aliases))
    gained = related_wants(change, gained_principals(found.change), limits)
    literals = chain.from_iterable(want.what.literals for want in gained)
    return frozenset(one for one in chain(names, literals) if not one.startswith("alias/"))
