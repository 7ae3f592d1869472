"""`keytrail simulate`: an example archive with a story in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from keytrail.cli.numbers import size
from keytrail.phrases import count
from keytrail.text import for_terminal


class Layout(StrEnum):
    """The values of `--layout`."""

    DELIVERY = "delivery"
    LARGE = "large"


def simulate(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder to write to.", show_default=False)],
    events: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, metavar="N", help="How many events, at least those of the story.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(metavar="S", help="Same seed, same bytes.")] = 1,
    layout: Annotated[
        Layout, typer.Option(help="Many small files as AWS delivers them, or few large ones.")
    ] = Layout.DELIVERY,
) -> None:
    """Write a realistic synthetic archive, with an attack on a KMS key planted in it.

    The folder is new or empty; a ledger in it says what was planted, and accounts.toml who is trusted.

    \b
    Examples:
      keytrail simulate --out ./example && keytrail scan ./example --accounts ./example/accounts.toml
      keytrail simulate --out ./big --events 500000 --seed 7 --layout large
    """
    from keytrail.simulation import simulate as write

    done = write(out, events=events, seed=seed, layout=layout.value)
    doubles = f", {count(done.duplicate_objects, 'file')} delivered twice" if done.duplicate_objects else ""
    asides = f", {count(done.asides, 'digest and Insight file')}" if done.asides else ""
    lines = [
        f"Wrote {count(done.events, 'event')} in {count(done.objects, 'file')} to {done.out}"
        f" ({size(done.stored_bytes)}, {size(done.inflated_bytes)} inflated{doubles}{asides})",
        f"Days: {done.start:%Y-%m-%d} to {done.end:%Y-%m-%d}, seed {done.seed}, layout {done.layout}",
        f"Planted: {count(done.story_events, 'event')} of the story, among them"
        f" {count(done.policy_changes, 'key policy change')}; {done.ledger} tells which",
        f"Trusted accounts: {done.accounts}",
    ]
    typer.echo("\n".join(map(for_terminal, lines)))
