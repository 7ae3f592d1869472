"""The forms that a guardrail is written in, a module each; `registry.FORMS` lists them."""
