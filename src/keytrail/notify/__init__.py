"""Telling people: messages about alerts, and the sinks that deliver them."""
