"""No secret comes out, wherever it is put in and whoever sends it back: every output is read for every secret."""

import base64
import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, value_of
from tests.support.wait import eventually

Start = Callable[..., ListenerProcess]

PASSWORD = "pa/ss:w%rd-invented"  # noqa: S105 - that is what is looked for
TOKEN = "T0KEN-of-the-alert"  # noqa: S105
KEY, KEYS_SECRET = "key-0f81c2d7a9", "secret-&\"<5e'b6>"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n"
PATHS = ("/", "/page/now.json", "/page/past.json", "/status.json", "/metrics", "/health/ready", "/health/live")
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("explain", "ECHO-1"),
    ("explain", "ECHO-1", "--json"),
    ("failed",),
    ("failed", "--json"),
    ("config",),
    ("config", "history"),
    ("verify",),
    ("requeue", "ECHO-1"),
    ("install", "--print"),
)
STORED = "select to_jsonb(l)::text from listener.{} l"
TABLES = "select array_agg(tablename::text) from pg_tables where schemaname = 'listener'"


@pytest.fixture
def account() -> Iterator[ShipStationSimulator]:
    """An account whose key and secret can't be taken for anything else."""
    with ShipStationSimulator(api_key=KEY, api_secret=KEYS_SECRET) as account:
        account.limit_per_minute = None
        yield account


@pytest.fixture
def with_password(dsn: str) -> str:
    user, _, rest = dsn.removeprefix("postgresql://").partition("@")
    return f"postgresql://{user.partition(':')[0]}:{quote(PASSWORD, safe='')}@{rest}"


@pytest.fixture
def environment(account: ShipStationSimulator, with_password: str, tmp_path: Path) -> dict[str, str]:
    key_file = tmp_path / "drive.json"
    key_file.write_text(json.dumps({"type": "service_account", "private_key": PRIVATE_KEY}))
    return {
        "DATABASE_URL": with_password,
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "SHIPSTATION_BASE_URL": account.url,
        "ALERT_URL": f"http://127.0.0.1:{free_port()}/hook/{TOKEN}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
    }


def secrets_of(account: ShipStationSimulator) -> list[str]:
    login = base64.b64encode(f"{account.api_key}:{account.api_secret}".encode()).decode()
    plain = [PASSWORD, TOKEN, account.api_key, account.api_secret, login, *PRIVATE_KEY.strip().split("\n")]
    return [form for secret in plain for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}]


def found(account: ShipStationSimulator, outputs: dict[str, str]) -> list[str]:
    return [f"{secret} in {name}" for name, text in outputs.items() for secret in secrets_of(account) if secret in text]


def served(process: ListenerProcess, path: str) -> str:
    with closing(http.client.HTTPConnection(process.status_address, timeout=10)) as page:
        page.request("GET", path)
        return page.getresponse().read().decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_shipstation_sends_back_is_shown_without_our_secrets(
    shop: Connection,
    account: ShipStationSimulator,
    environment: dict[str, str],
    listener_process: Start,
    log_format: str,
) -> None:
    usual = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    usual |= {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": log_format}
    process = listener_process(environment["DATABASE_URL"], **usual)
    process.wait_for(r"Leading \(epoch")
    set_flag(shop, "max_upload_attempts", "1")
    process.wait_status(lambda status: status["flags"]["max_upload_attempts"] == 1)
    login = base64.b64encode(f"{account.api_key}:{account.api_secret}".encode()).decode()
    echo = f"{account.api_key} {account.api_secret} {login}"
    account.inject("partial", orders=["ECHO-1"], message=f"no rights for {echo}")
    insert_order(shop, "ECHO-1")
    eventually(lambda: row_of(shop, "ECHO-1"), lambda row: row[0] == "failed")
    account.inject("answer", path="/orders/createorders", status=401, body=json.dumps({"Message": echo}))
    insert_order(shop, "ECHO-2")
    process.wait_for("Backing off 60s")
    outputs = {path: served(process, path) for path in (*PATHS, "/orders/ECHO-1", "/orders/ECHO-2")}
    for arguments in COMMANDS if log_format == "text" else COMMANDS[2:3]:
        command = listener_process(environment["DATABASE_URL"], *arguments, STATUS_ADDRESS=process.status_address)
        command.wait()
        outputs[" ".join(arguments)] = "\n".join([*command.output, *command.lines])
    process.stop()
    outputs["log"] = process.log
    for table in value_of(shop, TABLES):
        outputs[table] = str(shop.execute(STORED.format(table).encode()).fetchall())
    assert found(account, outputs) == []
    assert "no rights for ***" in outputs["explain ECHO-1"]
    assert "***" in outputs["/page/past.json"]


def test_a_database_that_is_away_or_refuses_is_told_without_its_password(
    environment: dict[str, str], account: ShipStationSimulator, listener_process: Start
) -> None:
    there = re.sub(r":\d+/", f":{free_port()}/", environment["DATABASE_URL"])
    usual = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    outputs = {}
    running = listener_process(there, **usual)
    running.wait_for("Cannot reach the database")
    outputs |= {path: served(running, path) for path in (*PATHS, "/orders/1")}
    for arguments in COMMANDS[::2]:
        command = listener_process(there, *arguments, STATUS_ADDRESS="off")
        command.wait()
        outputs[" ".join(arguments)] = "\n".join([*command.output, *command.lines])
    running.stop()
    outputs["log"] = running.log
    assert found(account, outputs) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"DATABASE_URL": f"postgresql://u:{PASSWORD}@host:x/db"},
        {"DATABASE_URL": f"postgresql://u:{PASSWORD}@/db?{PASSWORD}=1"},
        {"SHIPSTATION_API_SECRET_FILE": f"/{TOKEN}"},
        {"ALERT_URL": f"ftp://host/{TOKEN}"},
        {"SHIPSTATION_BASE_URL": f"https://u:{PASSWORD}@host"},
    ],
)
def test_a_setting_that_is_wrong_is_named_without_its_value(
    environment: dict[str, str], account: ShipStationSimulator, listener_process: Start, broken: dict[str, str]
) -> None:
    settings = environment | broken
    command = listener_process(settings.pop("DATABASE_URL"), **settings)
    assert command.wait() == 2
    assert found(account, {"log": command.log}) == []
    assert next(iter(broken)) in command.log
