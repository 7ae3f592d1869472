"""Texts that attackers wrote, made to do nothing in a message: no mention, no link, no markup, no hidden character.

`inert` is the first step for every face that people read; the others are the second, one for each format.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable

from keytrail.text import for_terminal, shorten

# Clients make links of what looks like one; the brackets are how security people write addresses not to be followed.
_SCHEME = re.compile(r":(?=[/\\]{2})|(?<=mailto):|(?<=javascript):|(?<=data):|(?<=tel):", re.IGNORECASE)
_HOST = re.compile(r"(?<=[A-Za-z0-9-])\.(?=[A-Za-z]{2,24}(?:[/?#]|:\d))|(?<=\bwww)\.", re.IGNORECASE)

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What Slack, and the chats that copy its webhooks, give a meaning to in a text; the full-width twins have none.
_CHAT = str.maketrans({c: chr(ord(c) + 0xFEE0) for c in "*_~`@#[]|"})


def inert(text: str, most: int = 300) -> str:
    r"""Return `text` on one line, of at most `most` characters, with no character that acts and no address that links.

    >>> inert("see http://evil.example/x\u202e")
    'see http[:]//evil[.]example/x\\u202e'
    >>> inert("arn:aws:iam::111122223333:user/eve@example.com")
    'arn:aws:iam::111122223333:user/eve@example.com'
    """
    safe = for_terminal(shorten(text, 4 * most))  # an escape is longer than its character, never shorter
    return shorten(_HOST.sub("[.]", _SCHEME.sub("[:]", safe)), most)


def for_slack(text: str) -> str:
    """Return inert `text` for a Slack text object that has no markup (`plain_text`).

    >>> for_slack("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.translate(_SLACK)


def slack_code(text: str) -> str:
    """Return inert `text` as a code span of Slack's mrkdwn, inside which nothing has a meaning but its end.

    >>> slack_code("a`b")
    '`aˋb`'
    """
    return f"`{for_slack(text.replace('`', 'ˋ')) or '-'}`"


def for_chat(text: str) -> str:
    """Return inert `text` for a chat that reads markup, whichever it is: what could act is written full-width.

    >>> for_chat("@here *now*")
    '＠here ＊now＊'
    """
    return for_slack(text.translate(_CHAT))


def for_card(text: str) -> str:
    """Return inert `text` for a text run of an adaptive card: those know no markup, but functions in double braces.

    >>> for_card("{{DATE(2026-01-01T00:00:00Z)}}")
    '{ {DATE(2026-01-01T00:00:00Z)} }'
    """
    return re.sub(r"\{(?=\{)", "{ ", re.sub(r"\}(?=\})", "} ", text))


def for_html(text: str) -> str:
    """Return inert `text` for HTML."""
    return html.escape(text, quote=True)


def ascii_only(text: str, most: int) -> str:
    """Return inert `text` in printable ASCII, of at most `most` characters.

    >>> ascii_only("Müller …", 100), ascii_only("abcdefgh", 6)
    ('M\\\\xfcller ...', 'abc...')
    """
    safe = text.replace("…", "...").encode("ascii", "backslashreplace").decode("ascii")
    return safe if len(safe) <= most else safe[: most - 3] + "..."


def fitted(text: str, escape: Callable[[str], str], most: int) -> str:
    """Return the escaped text, shortened before it is escaped so that it is at most `most` characters long after."""
    length = min(len(text), most)
    while len(escaped := escape(shorten(text, length))) > most:
        length -= max(1, (len(escaped) - most) // 6)
    return escaped


def without(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every secret in it hidden: servers repeat in their errors what they were sent."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "********")
    return text
