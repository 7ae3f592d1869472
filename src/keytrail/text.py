"""Safe output: what an attacker wrote, made harmless for a terminal, a spreadsheet, Markdown, JSON and file names.

Every function is pure and leaves plain printable ASCII as it is, except where the format itself gives such a
character a meaning. Text is shown, never dropped: a character that could act is written as its escape.
"""

from __future__ import annotations

import hashlib
import json
import math
import re

# Printable by Python's account, yet seen as nothing: combining joiner, Hangul and Khmer fillers, Mongolian and
# other variation selectors (used to hide text in text), the blank Braille cell.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SHORT_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}

# A spreadsheet takes a cell that starts with one of these for a formula (OWASP, "CSV Injection"), the
# full-width forms included; leading blanks are skipped by some of them.
_FORMULA = re.compile("[\t\r\n]|[\\s\u200b\u2060\ufeff\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|])")
_MARKDOWN_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "~": "&#126;", ":": "&#58;"})

# Names that Windows gives to devices, whatever the suffix.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def for_terminal(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with every character that could act on a terminal or hide text written as an escape.

    Controls (C0, DEL, C1, and so every ANSI sequence), bidirectional overrides, zero-width and other invisible
    characters, line separators and lone surrogates become `\x1b`, `\u202e` and the like. `lines` keeps line
    feeds and tabs.

    >>> for_terminal("aws-cli\x1b[2J")
    'aws-cli\\x1b[2J'
    >>> for_terminal("two\nlines"), for_terminal("two\nlines", lines=True)
    ('two\\nlines', 'two\nlines')
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(
        c if (lines and c in "\n\t") or (c.isprintable() and not _INVISIBLE.match(c)) else _escape(c) for c in text
    )


def for_json(value: object) -> str:
    """Return the JSON text of `value` on one line, ASCII only, so that it is safe on a terminal as well.

    Numbers that JSON does not have (NaN and the infinities) become strings.

    >>> for_json({"name": "\\x7f"})
    '{"name":"\\\\u007f"}'
    """
    try:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f")


def raw_json(text: str) -> str:
    r"""Return valid JSON `text` on one line, with the same meaning and every unsafe character escaped.

    Unlike parsing and printing it keeps repeated keys and the exact form of numbers.

    >>> raw_json('{"n": 1.0,\n "s": "\x9b"}')
    '{"n": 1.0,  "s": "\\u009b"}'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() and not _INVISIBLE.match(c) else _json_escape(c) for c in text)


def csv_cell(text: str) -> str:
    """Return `text` so that no spreadsheet reads it as a formula and no terminal obeys it.

    >>> csv_cell("=cmd|' /C calc'!A0")
    "'=cmd|' /C calc'!A0"
    """
    safe = for_terminal(text)
    return f"'{safe}" if _FORMULA.match(text) else safe


def for_markdown(text: str) -> str:
    """Return `text` so that Markdown (CommonMark, GitHub's, Python-Markdown) shows it literally on one line.

    >>> for_markdown("[click](http://x) <b>")
    '\\\\[click\\\\]\\\\(http&#58;//x\\\\) &lt;b&gt;'
    """
    return _MARKDOWN.sub(r"\\\1", for_terminal(text)).translate(_MARKDOWN_ENTITIES)


def file_name(text: str, *, length: int = 100) -> str:
    """Return a portable name of at most `length` characters for one file; never hidden, a path or a device.

    A name that had to change carries a digest of the original, so that different texts stay different.

    >>> file_name("report-2026.json")
    'report-2026.json'
    >>> file_name("../../etc/passwd")
    'etc_passwd-3754d6cb'
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:length]
    if name == text and name and not _DEVICES.match(name):
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = name[: length - 9].strip("._-")
    # A device name is one even with a suffix after its dot, so the digest goes in front of it.
    return "-".join(part for part in ((digest, kept) if _DEVICES.match(kept) else (kept, digest)) if part)


def shorten(text: str, length: int) -> str:
    """Return `text` cut to at most `length` characters, the cut shown as an ellipsis.

    >>> shorten("arn:aws:kms", 6), shorten("arn", 6)
    ('arn:a…', 'arn')
    """
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"[:length]


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    code = ord(character)
    if character in "\t\n\r":  # Legal only between tokens, where a blank says the same.
        return " "
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _finite(value: object) -> object:
    """Return `value` with the numbers that JSON does not have as strings; records are bounded in depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
