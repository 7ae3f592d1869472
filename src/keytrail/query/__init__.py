"""KQL text to a predicate over documents, and the literals it cannot match without."""

from keytrail.query.compiler import Query, compile
from keytrail.query.nodes import Node
from keytrail.query.parser import parse
from keytrail.query.printer import to_text
from keytrail.query.schema import Fields, Schema

__all__ = ["Fields", "Node", "Query", "Schema", "compile", "parse", "to_text"]
