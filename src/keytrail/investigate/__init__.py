"""Alert and event store -> Investigation: facts, findings, verdict."""
