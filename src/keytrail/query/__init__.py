r"""KQL text to a predicate over documents, and the literals it cannot match without.

The language is Kibana's kuery; what each construct means follows from the mapped type of its field. Every line below
is run as a test, against this document:

>>> from datetime import UTC, datetime
>>> from types import SimpleNamespace
>>> types = {"user.name": "keyword", "user.roles": "keyword", "message": "text", "source.ip": "ip",
...          "source.port": "long", "event.success": "boolean", "@timestamp": "date", "params": "flattened",
...          "params.key": "flattened", "parts": "nested", "parts.name": "keyword", "parts.size": "long"}
>>> document = {"user.name": ("S3 Browser",), "user.roles": ("admin", "ops"), "message": ("Access denied for Bob",),
...             "source.ip": ("10.1.2.3",), "source.port": (443,), "event.success": (False,),
...             "params.key": ("alias/a",), "@timestamp": ("2026-03-04T12:00:00Z",)}
>>> parts = ({"name": "a", "size": 1}, {"name": "b", "size": 2})
>>> schema = SimpleNamespace(type_of=types.get, constant_of=lambda field: None, names=lambda: types)
>>> fields = SimpleNamespace(
...     values=lambda field: document.get(field, ()), fields=lambda: iter(document), objects=lambda path: parts)
>>> def found(text, strict=False):
...     return compile(text, schema, now=datetime(2026, 3, 4, 12, 30, tzinfo=UTC), strict=strict).matches(fields)

Values. Quoted or not, a keyword is compared whole and by case; quotes make a star a star.

>>> found('user.name: "S3 Browser"'), found('user.name: S3 Browser'), found('user.name: s3 browser')
(True, True, False)

Escapes outside quotes: backslash before ``\ ( ) : < > " * { }``, before ``or``, ``and``, ``not``; ``\t \r \n \u0041``.

>>> found(r'user.name: \u00533 Browser'), found(r'not user.name: arn\:aws\:iam')
(True, True)

Arrays: any element answers, and each value of a list by itself. Missing fields answer nothing but ``not``.

>>> found('user.roles: admin and user.roles: ops'), found('user.roles: (admin and ops)')
(True, True)
>>> found('user.roles: (x or ops)'), found('not user.roles: admin'), found('not user.email: x')
(True, False, True)
>>> found('user.roles: (* and not x)')
True

Precedence: ``not``, ``and``, ``or``; keywords in any case, with a blank on both sides.

>>> found('user.name: x AND user.roles: y OR message: bob'), found('user.name: x and (user.roles: y or message: bob)')
(True, False)

Wildcards match the whole value, blanks included. Strict mode does what Elasticsearch does with them on all types but
keyword: blanks part terms, of which one must match.

>>> found('user.name: *3 Brow*'), found('user.name: Brow*')
(True, False)
>>> found('message: x* den*'), found('message: x* den*', strict=True)
(False, True)

Existence, of a field or of anything below an object; the empty string and ``false`` are values.

>>> found('event.success: *'), found('user: *'), found('user.email: *')
(True, True, False)

Words of text: any of them, in quotes all of them in order.

>>> found('message: DENIED granted'), found('message: "access denied"'), found('message: "denied access"')
(True, True, False)

Addresses and blocks of them; numbers; booleans; ranges, which on keywords compare text.

>>> found('source.ip: 10.0.0.0/8'), found('source.ip > 10.1.2.2'), found('source.ip: "::ffff:10.1.2.3"')
(True, True, True)
>>> found('source.port: 443'), found('source.port >= 1024'), found('event.success: false'), found('user.roles < b')
(True, False, True, True)

Dates: a rounded date is the whole unit; epoch milliseconds; date math on ``now`` or after ``||``.

>>> found('@timestamp: 2026-03'), found('@timestamp < 2026-03-05'), found('@timestamp: 1772625600000')
(True, True, True)
>>> found('@timestamp > now-1h'), found('@timestamp >= now/d'), found('@timestamp: "2026-02-04||+1M/d"')
(True, True, True)

Children of a flattened field are strings; wildcards work on them too (in Elasticsearch they do not).

>>> found('params.key: alias/*'), found('params.key: *a')
(True, True)

Nested: one object answers everything in the braces.

>>> found('parts:{ name: a and size: 1 }'), found('parts:{ name: a and size: 2 }')
(True, False)

Names of fields: in quotes, or with wildcards, which any field may answer.

>>> found('"user.name": S3*'), found('user.*: ops'), found('*: ops')
(True, True, True)

Free text asks every mapped field of words or keywords. Blank text asks for everything.

>>> found('denied'), found('S3 Browser'), found('ops and not nothing'), found('')
(True, True, True, True)

Decisions of ours where the original is silent, broken or refuses:

* ``null`` outside quotes is an error, as it is when Elasticsearch gets it; ``not field: *`` asks for missing values.
* ``\not`` is the escaped keyword. Kibana's parser reads a newline and "ot".
* Values longer than ``ignore_above`` are there, except in strict mode.
* A pattern on a text field may match the whole value or one word; case does not count.
* Words are runs of letters and digits; Elasticsearch also keeps ``3.14``, ``example.com`` and ``a_b`` in one piece.
* Through a name with wildcards, fields that a value does not fit do not match; in strict mode they are an error.
"""

from keytrail.query.compiler import Query, compile
from keytrail.query.nodes import Node
from keytrail.query.parser import parse
from keytrail.query.printer import to_text
from keytrail.query.schema import Fields, Schema

__all__ = ["Fields", "Node", "Query", "Schema", "compile", "parse", "to_text"]
