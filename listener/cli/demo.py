"""`listener demo`: see it work, with nothing of your own."""

import click

from listener.cli.bars import waiting
from listener.errors import Fatal


@click.command()
@click.option("--orders", default=25, show_default=True, type=click.IntRange(1, 5000), help="Orders in the XML file.")
@click.option("--stay", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option("--port", default=8750, show_default=True, type=click.IntRange(1, 65535), help="Port of the status page.")
def demo(orders: int, stay: bool, port: int) -> int:
    """Run the real listener between a Postgres, a Google Drive and a ShipStation of its own, and print what happens.

    An XML file with orders is read from Drive and uploaded; then a flag is changed with SQL, and the triggers are
    rolled back under the running listener. Exits with 0 when every order arrived exactly once.

    \b
    Examples:
      listener demo
      listener demo --orders 500
      listener demo --stay --port 8800
    """
    try:
        from listener.embedded.demo import run_demo  # noqa: PLC0415  the simulators are for this command alone
    except ImportError as error:
        raise Fatal(f"{error.name} is not installed: pip install 'listener[demo]'") from error
    with waiting() as terminal:

        def say(text: str) -> None:
            terminal.above(lambda: click.echo(text))

        return 0 if run_demo(orders, stay=stay, port=port, say=say, show=terminal.show) else 1
