"""``hullwatch completion``: click's own completion scripts, printed."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from agent.cli import output

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash: hullwatch completion bash > /etc/bash_completion.d/hullwatch
    zsh:  hullwatch completion zsh > "${fpath[1]}/_hullwatch"
    fish: hullwatch completion fish > ~/.config/fish/completions/hullwatch.fish
    """  # noqa: D301 (click's mark for lines that are not to be wrapped)
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(ctx.find_root().command, {}, "hullwatch", "_HULLWATCH_COMPLETE")
    # bash's own source() runs bash to learn its version; the script says itself what it needs.
    output.write(ShellComplete.source(made) + "\n")
