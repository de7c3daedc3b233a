"""What others say ends up in the log, and is never more there than the rest of a line: their words can't forge one."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.hostile import BEGIN_OF_LINE, LONGEST_LINE, unprintable
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.tls import Authority, tls_front
from tests.support.wait import eventually

FORGED = "2026-01-01T00:00:00.000+00:00 ERROR listener forged"
SAID = f"no\r\n{FORGED}\n\x1b[31m\x1b[2J\u2028\u202e{FORGED}" + "\nmore" * 10_000

REFUSES = """
create function refuse() returns trigger language plpgsql as $$
begin raise exception '%', E'\\x1brefused \\x07' || 'FORGED'; end $$;
create trigger refuse before update on orders_inbox for each row when (new.order_number = 'TRIGGER' and
    new.shipstation_order_id is not null) execute function refuse();
"""


def events(process: ListenerProcess, log_format: str) -> Iterable[str]:
    """Return the messages of the log, each of which stands on one whole line."""
    for line in process.lines:
        assert not unprintable(line), repr(line[:200])
        assert len(line) < 2 * LONGEST_LINE
        if log_format == "json":
            entry = json.loads(line)
            assert entry["level"] in ("INFO", "WARNING")
            yield entry["message"]
        else:
            assert BEGIN_OF_LINE.match(line), line[:200]
            yield line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nobodys_words_can_forge_a_line_of_the_log(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
    tmp_path: Path,
    log_format: str,
) -> None:
    set_flag(shop, "max_upload_attempts", "1")
    shop.execute(REFUSES.replace("FORGED", FORGED).encode())
    (tmp_path / f"a\n{FORGED}\x1b[2J.xml").write_text(f"<orders><order>{SAID}".replace("\x1b", "&#27;"))
    (tmp_path / "b.xml").write_text("<orders><order><orderid>A&#10;1\u2028</orderid></order></orders>")
    process = listener_process(dsn, LOG_FORMAT=log_format, ORDER_SOURCE=str(tmp_path))
    wait_until_asleep(process)
    account.inject("partial", orders=["PARTIAL"], message=SAID)
    for number in ("PARTIAL", "TRIGGER"):
        insert_order(shop, number)
    eventually(lambda: row_of(shop, "PARTIAL")[0], lambda status: status == "failed")
    process.wait_for("forged.*cannot be read")
    process.wait_for("Of the orders of b.xml")
    process.wait_for("can't be changed")
    account.inject("answer", status=418, body=json.dumps({"Message": SAID}))
    insert_order(shop, "WHOLE")
    process.wait_status(lambda status: status["workflows"]["shipstation-upload"]["backoff_until"])
    account.clear_faults()
    account.inject("500", message=SAID)
    set_flag(shop, "sync_interval", "200")  # ends the backoff
    insert_order(shop, f"LOOKS\n{FORGED}"[:50])
    process.wait_for("ShipStation answered 500")
    messages = list(events(process, log_format))
    assert len(messages) < 100
    assert any("forged" in message for message in messages)


def test_a_shipstation_with_a_wrong_certificate_gets_no_order_and_a_right_one_each_once(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    with tls_front(authority.context("expired"), account.port) as front:
        process = listener_process(
            dsn, SHIPSTATION_BASE_URL=f"https://127.0.0.1:{front.port}", SSL_CERT_FILE=str(authority.file)
        )
        insert_order(shop, "TLS-1")
        process.wait_for("WARNING .*ShipStation cannot be reached: its certificate is refused: certificate has expired")
        process.wait_status(lambda status: status["workflows"]["shipstation-upload"]["backoff_until"])
        assert front.heard == 0
        front.context = authority.context("good")
        set_flag(shop, "sync_interval", "200")  # ends the backoff
        assert account.wait_for_orders(1, 10)
        eventually(lambda: row_of(shop, "TLS-1")[0], lambda status: status == "uploaded")
        assert process.stop() == 0
