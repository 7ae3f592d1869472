"""Alembic's scripts for the state, run by `migrate`; nothing of them is configured outside."""
