"""Runs composed of the rooms below, written once for every face: scan, query, investigate, rules, accounts, policy."""
