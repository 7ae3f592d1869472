"""Guardrails: policies that leave the power over key policies to a few roles, and what they would have denied."""
