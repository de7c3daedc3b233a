"""`completion`: the words of the command line, offered by the shell."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
    Example: listener completion bash > ~/.local/share/bash-completion/completions/listener
             listener completion zsh > "${fpath[1]}/_listener"
             listener completion fish > ~/.config/fish/completions/listener.fish
    """
    made_by = get_completion_class(shell)
    assert made_by is not None  # noqa: S101  click has all of the choices
    click.echo(made_by(context.find_root().command, {}, "listener", "_LISTENER_COMPLETE").source())
