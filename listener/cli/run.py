"""`listener run`: the worker."""

import logging
import os
import sys

import click

from listener.cli.bars import TOLD_BY_A_BAR, Bars, has_bars
from listener.cli.live import LiveStream
from listener.daemon import Daemon
from listener.errors import Fatal
from listener.log import configure, escape, redactor
from listener.settings import Settings, read_settings
from listener.supervisor import Supervisor

logger = logging.getLogger(__name__)


@click.command()
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would go, what would not, and why.")
def run(dry_run: bool) -> int:
    """Upload orders as they are committed, until SIGTERM or SIGINT.

    \b
    Needs DATABASE_URL, SHIPSTATION_API_KEY and SHIPSTATION_API_SECRET. Also reads LISTEN_DATABASE_URL (a direct host,
    when DATABASE_URL is a pooler), ORDER_SOURCE (a folder with *.xml, or drive:FOLDER_ID, which also needs
    GOOGLE_APPLICATION_CREDENTIALS, a service account's key file), SHIPSTATION_BASE_URL, DRIVE_BASE_URL,
    STATUS_ADDRESS (127.0.0.1:8750, or off), ALERT_URL (told by a POST when green turns red or back), LOG_LEVEL and
    LOG_FORMAT (text or json). At a terminal, what takes long has a bar, unless LOG_FORMAT is json or TERM is dumb.

    \b
    Example:
      DATABASE_URL=postgresql://shop@db.example.com/shop \\
      SHIPSTATION_API_KEY_FILE=/run/secrets/key SHIPSTATION_API_SECRET_FILE=/run/secrets/secret  listener run
      listener run --dry-run    the same without the request; imports nothing, changes no order

    SIGUSR1 makes it look now, at everything. Exits with 0 when asked to stop, with 2 when a setting is wrong or
    `listener install` has not been run.
    """
    try:
        settings = read_settings(os.environ)
        # Reading a large file must not keep a bell waiting: a thread that computes lets others in after 0.5 ms, not 5.
        sys.setswitchinterval(0.0005)
        if settings.log_format == "text" and has_bars(sys.stderr, os.environ):
            return _run_with_bars(settings, dry_run=dry_run)
        configure(settings.log_level, settings.log_format, secrets=settings.secrets())
        _warn_of_http(settings)
        return Daemon(settings, _supervisor(settings), _say if dry_run else None).run()
    except Fatal as fault:
        raise UnusableSettings(str(fault)) from fault


def _run_with_bars(settings: Settings, *, dry_run: bool) -> int:
    live = LiveStream(sys.stderr)
    log = configure(settings.log_level, settings.log_format, live, settings.secrets())
    log.addFilter(lambda record: not (live.is_live and getattr(record, "event", None) in TOLD_BY_A_BAR))
    _warn_of_http(settings)
    say = (lambda line: live.above(lambda: _say(line))) if dry_run else None
    daemon = Daemon(settings, _supervisor(settings), say)
    with Bars(live, daemon.progress):
        return daemon.run()


def _supervisor(settings: Settings) -> Supervisor:
    return Supervisor(os.environ, redactor(settings.secrets()))


def _warn_of_http(settings: Settings) -> None:
    for name in settings.in_the_clear():
        logger.warning("%s is http: what is sent there can be read on the way", name, extra={"event": "clear"})


def _say(line: str) -> None:
    click.echo(escape(line))
    sys.stdout.flush()


class UnusableSettings(Fatal):
    """`run` ends with 2, so that a supervisor can tell it from a crash."""

    exit_code = 2
