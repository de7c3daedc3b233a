"""The settings: what is taken, and that a fault names the variable and never tells a secret."""

import json
from pathlib import Path

import pytest

from listener.errors import Fatal
from listener.settings import DriveFolder, Settings, read_database_url, read_direct_url, read_settings

PASSWORD = "hunter2-hunter2"  # noqa: S105 - invented
ENV = {
    "DATABASE_URL": f"postgresql://shop:{PASSWORD}@db.example.com:5432/shop",
    "SHIPSTATION_API_KEY": "key-of-the-shop",
    "SHIPSTATION_API_SECRET": "secret-of-the-shop",
}

PEM_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCinventedinven"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PEM_LINE}\n-----END PRIVATE KEY-----\n"
KEY = {
    "type": "service_account",
    "private_key_id": "0123abcd",
    "private_key": PEM,
    "client_email": "orders-reader@sample-shop.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def read(**changed: str) -> Settings:
    return read_settings(ENV | changed)


def fault(**changed: str) -> str:
    with pytest.raises(Fatal) as raised:
        read(**changed)
    assert raised.value.__cause__ is None  # a cause would be shown with its text, which is not ours
    return str(raised.value)


def test_with_the_three_that_are_needed_the_rest_has_its_defaults() -> None:
    settings = read()
    assert settings.listen_database_url == settings.database_url == ENV["DATABASE_URL"]
    assert settings.shipstation_base_url == "https://ssapi.shipstation.com"
    assert settings.order_source is None
    assert settings.status_address == ("127.0.0.1", 8750)
    assert (settings.log_level, settings.log_format) == ("INFO", "text")


def test_an_empty_variable_counts_as_unset() -> None:
    optional = ("LISTEN_DATABASE_URL", "SHIPSTATION_BASE_URL", "ORDER_SOURCE", "DRIVE_BASE_URL", "STATUS_ADDRESS")
    files = ("DATABASE_URL_FILE", "SHIPSTATION_API_KEY_FILE")
    assert read(**dict.fromkeys(optional + files, "")) == read()


def test_all_that_is_missing_stands_in_one_line() -> None:
    with pytest.raises(Fatal) as raised:
        read_settings({"DATABASE_URL": " "})
    assert str(raised.value).startswith("not set: DATABASE_URL, SHIPSTATION_API_KEY, SHIPSTATION_API_SECRET;")
    assert "\n" not in str(raised.value)


def test_all_faults_are_told_together_in_at_most_three_lines() -> None:
    bad = {"DATABASE_URL": "x", "STATUS_ADDRESS": "x", "LOG_LEVEL": "x", "LOG_FORMAT": "x", "ORDER_SOURCE": "drive:"}
    with pytest.raises(Fatal) as raised:
        read_settings(bad)
    assert len(str(raised.value).splitlines()) == 3
    for name in [*bad, "SHIPSTATION_API_KEY", "SHIPSTATION_API_SECRET"]:
        assert name in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://shop@db.example.com/shop?sslmode=require&channel_binding=require",
        "postgresql://[::1]:5432/shop",
        "postgresql://a.example.com:5432,b.example.com:5433/shop?target_session_attrs=primary",
        "postgresql:///shop?host=/var/run/postgresql",
        "host=/var/run/postgresql dbname=shop password='a b'",
    ],
)
def test_urls_and_conninfo_strings_are_taken_as_they_are(url: str) -> None:
    assert read_database_url({"DATABASE_URL": url}) == url
    assert read(LISTEN_DATABASE_URL=url).listen_database_url == url


@pytest.mark.parametrize(
    "url",
    [
        PASSWORD,
        f"mysql://shop:{PASSWORD}@db.example.com/shop",
        f"mysql://shop:{PASSWORD}@db.example.com/shop?ssl=1",
        f"postgresql://shop:p@{PASSWORD}@db.example.com/shop",
        f"postgresql://shop:{PASSWORD}/x@db.example.com/shop",
        f"postgresql://shop:{PASSWORD}%zz@db.example.com/shop",
        f"postgresql://shop:{PASSWORD}@db.example.com:port/shop",
        f"postgresql://shop:{PASSWORD}@db.example.com:70000/shop",
        f"postgresql://shop:{PASSWORD}@db.example.com/shop?{PASSWORD}=1",
        f"host=x passwort={PASSWORD}",
        f"postgresql://shop:{PASSWORD}@db.example.com/shop\nhost=y",
    ],
)
def test_a_bad_database_url_is_named_and_not_repeated(url: str) -> None:
    for name in ("DATABASE_URL", "LISTEN_DATABASE_URL"):
        text = fault(**{name: url})
        assert text.startswith(f"{name} ")
        assert "hunter2" not in text


def test_the_sql_commands_need_nothing_but_the_database() -> None:
    assert read_database_url(ENV) == ENV["DATABASE_URL"]
    with pytest.raises(Fatal, match="not set: DATABASE_URL;"):
        read_database_url({"LOG_LEVEL": "rubbish"})


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\ufeffkey-in-a-file\n", encoding="utf-8")
    env = ENV | {"SHIPSTATION_API_KEY": "", "SHIPSTATION_API_KEY_FILE": str(file)}
    assert read_settings(env).shipstation_api_key == "key-in-a-file"


def test_a_database_url_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://db.example.com/shop\n")
    assert read_database_url({"DATABASE_URL_FILE": str(file)}) == "postgresql://db.example.com/shop"


def test_a_variable_and_a_file_must_agree(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(ENV["SHIPSTATION_API_KEY"])
    assert read(SHIPSTATION_API_KEY_FILE=str(file)) == read()
    file.write_text("another-key")
    text = fault(SHIPSTATION_API_KEY_FILE=str(file))
    assert text.startswith("SHIPSTATION_API_KEY_FILE and the variable without _FILE are both set")
    assert "another-key" not in text


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000, b"a\nb"])
def test_a_file_that_holds_no_secret_is_a_fault_that_does_not_repeat_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    text = fault(SHIPSTATION_API_SECRET="", SHIPSTATION_API_SECRET_FILE=str(file))
    assert text.startswith("SHIPSTATION_API_SECRET_FILE ")
    assert "\n" not in text


@pytest.mark.parametrize("path", ["/nonexistent/hunter2", "hunter2", "/", "hun\0ter2"])
def test_a_file_that_cannot_be_read_is_a_fault_without_its_path_which_may_be_the_secret(path: str) -> None:
    text = fault(SHIPSTATION_API_KEY="", SHIPSTATION_API_KEY_FILE=path)
    assert text.startswith("SHIPSTATION_API_KEY_FILE names a file that cannot be read")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("url", "taken"),
    [("http://127.0.0.1:8080/", "http://127.0.0.1:8080"), ("https://proxy.example.com/ss", None)],
)
def test_an_http_url_is_taken_without_the_slash_at_its_end(url: str, taken: str | None) -> None:
    assert read(SHIPSTATION_BASE_URL=url).shipstation_base_url == taken or url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "example.com",
        "http://",
        "https://u:hunter2@example.com",
        "http://[::1",
        "http://example.com:99999",
        "http://example.com/?key=hunter2",
        "http://example.com/#a",
        "http://exa mple.com",
        "http://example.com\n.x",
    ],
)
def test_other_base_urls_are_refused_unrepeated(url: str) -> None:
    text = fault(SHIPSTATION_BASE_URL=url)
    assert text.startswith("SHIPSTATION_BASE_URL must be an http or https URL")
    assert "hunter2" not in text


@pytest.mark.parametrize("source", ["https://drive.example.com/folders/1abc", "s3://orders"])
def test_the_order_source_is_a_directory_or_a_folder_of_drive(source: str) -> None:
    text = fault(ORDER_SOURCE=source)
    assert text == f"ORDER_SOURCE = '{source}' must be a directory, as in /srv/orders, or drive:FOLDER_ID"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(KEY))
    return file


def test_a_folder_of_drive_comes_with_its_key(key_file: Path) -> None:
    for source in ("drive:1aB_-9", "Drive:1aB_-9"):
        folder = read(ORDER_SOURCE=source, GOOGLE_APPLICATION_CREDENTIALS=str(key_file)).order_source
        assert isinstance(folder, DriveFolder)
        assert (folder.folder_id, folder.base_url) == ("1aB_-9", "https://www.googleapis.com")
        assert folder.read_key() == folder.key
        assert folder.key.client_email == KEY["client_email"]


@pytest.mark.parametrize(
    "folder", ["", " ", "a b", "https://drive.example.com/folders/1abc", "1abc?usp=sharing", "1'a"]
)
def test_the_id_of_a_folder_is_the_last_part_of_its_address(key_file: Path, folder: str) -> None:
    text = fault(ORDER_SOURCE=f"drive:{folder}", GOOGLE_APPLICATION_CREDENTIALS=str(key_file))
    assert text.startswith("ORDER_SOURCE = ")
    assert "the folder's id, the last part of its address" in text


def test_a_folder_of_drive_needs_a_key() -> None:
    text = fault(ORDER_SOURCE="drive:1abc")
    assert text == (
        "GOOGLE_APPLICATION_CREDENTIALS is not set: for a folder of Google Drive it names the key file of a"
        " service account"
    )


def test_a_key_is_not_looked_at_without_a_folder_of_drive() -> None:
    assert read(GOOGLE_APPLICATION_CREDENTIALS="/nonexistent/key.json").order_source is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"x" * 70_000, json.dumps(KEY)[:-9].encode()])
def test_a_file_that_is_no_key_is_a_fault_that_does_not_repeat_it(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    text = fault(ORDER_SOURCE="drive:1abc", GOOGLE_APPLICATION_CREDENTIALS=str(key_file))
    assert text.startswith("GOOGLE_APPLICATION_CREDENTIALS names a file that ")
    assert "\n" not in text and PEM_LINE not in text


def test_a_key_in_place_of_its_file_is_not_repeated() -> None:
    text = fault(ORDER_SOURCE="drive:1abc", GOOGLE_APPLICATION_CREDENTIALS=json.dumps(KEY))
    assert text.startswith("GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read")
    assert PEM_LINE not in text


def test_the_base_url_of_drive_is_checked_as_shipstations_is() -> None:
    assert fault(DRIVE_BASE_URL="ftp://x").startswith("DRIVE_BASE_URL must be an http or https URL")
    assert fault(DRIVE_BASE_URL="ftp://x").endswith("as in https://www.googleapis.com")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3:80", "localhost", "[::1]:8750"])
def test_http_on_this_machine_is_not_told(host: str) -> None:
    assert read(SHIPSTATION_BASE_URL=f"http://{host}", ALERT_URL=f"http://{host}/hook").in_the_clear() == []
    assert read(SHIPSTATION_BASE_URL="https://example.com").in_the_clear() == []


def test_http_to_another_machine_is_told_by_the_name_of_the_setting(key_file: Path) -> None:
    drive = {"ORDER_SOURCE": "drive:1abc", "GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
    urls = dict.fromkeys(("SHIPSTATION_BASE_URL", "DRIVE_BASE_URL", "ALERT_URL"), "http://localhost.example.com")
    assert read(**urls, **drive).in_the_clear() == list(urls)


def test_all_that_is_wrong_with_drive_stands_in_three_lines_with_the_rest() -> None:
    bad = {"DATABASE_URL": "x", "ORDER_SOURCE": "drive:1", "DRIVE_BASE_URL": "x", "LOG_LEVEL": "x"}
    with pytest.raises(Fatal) as raised:
        read_settings(bad)
    assert len(str(raised.value).splitlines()) == 3
    for name in [*bad, "GOOGLE_APPLICATION_CREDENTIALS"]:
        assert (name in str(raised.value)) is (name != "ORDER_SOURCE"), name


def test_the_private_key_is_among_the_secrets_and_not_in_the_repr(key_file: Path) -> None:
    settings = read(ORDER_SOURCE="drive:1abc", GOOGLE_APPLICATION_CREDENTIALS=str(key_file))
    assert {PEM, PEM_LINE} <= set(settings.secrets())
    assert PEM_LINE not in repr(settings)


def test_a_directory_is_taken_whether_or_not_it_is_there_yet() -> None:
    assert read(ORDER_SOURCE="/nonexistent/orders").order_source == "/nonexistent/orders"


@pytest.mark.parametrize(
    ("text", "address"),
    [("off", None), ("OFF", None), ("[::1]:8750", ("::1", 8750)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("box:0", ("box", 0))],  # noqa: S104
)
def test_the_status_address_is_host_and_port_or_off(text: str, address: tuple[str, int] | None) -> None:
    assert read(STATUS_ADDRESS=text).status_address == address


@pytest.mark.parametrize("text", ["8750", ":8750", "localhost", "::1:8750", "localhost:65536", "localhost:-1", "a b:1"])
def test_other_status_addresses_are_refused(text: str) -> None:
    assert fault(STATUS_ADDRESS=text).startswith(f"STATUS_ADDRESS = '{text}' must be host:port")


def test_level_and_format_are_words_in_any_case() -> None:
    settings = read(LOG_LEVEL="debug", LOG_FORMAT="JSON")
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")
    assert fault(LOG_LEVEL="loud") == "LOG_LEVEL = 'loud' must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    assert fault(LOG_FORMAT="xml") == "LOG_FORMAT = 'xml' must be one of text, json"


def test_no_secret_stands_in_the_repr() -> None:
    shown = repr(read(LISTEN_DATABASE_URL=f"host=x password={PASSWORD}"))
    for secret in (PASSWORD, ENV["SHIPSTATION_API_KEY"], ENV["SHIPSTATION_API_SECRET"]):
        assert secret not in shown


def test_the_secrets_for_the_log_are_all_there_in_the_forms_in_which_they_travel() -> None:
    settings = read(
        DATABASE_URL="postgresql://shop:p%40ss%2Fword@db.example.com/shop",
        LISTEN_DATABASE_URL="host=x password='another one' sslpassword=of-the-key",
        SHIPSTATION_API_KEY="user",
        SHIPSTATION_API_SECRET="pass",  # noqa: S106 - invented
    )
    assert set(settings.secrets()) == {
        *("p@ss/word", "p%40ss%2Fword", "another one", "of-the-key", "user", "pass"),
        "dXNlcjpwYXNz",  # of an Authorization header
    }


def test_a_secret_of_three_characters_is_not_masked_since_every_line_may_hold_it() -> None:
    assert "abc" not in read(SHIPSTATION_API_KEY="abc").secrets()


def test_a_password_with_a_bracket_which_python_takes_for_a_bad_url_is_still_masked() -> None:
    url = "postgresql://shop:p[ssword@db.example.com/shop"
    assert "p[ssword" in read(DATABASE_URL=url).secrets()


def test_the_sql_files_go_to_the_direct_host_when_there_is_one() -> None:
    pooled, direct = "postgresql://pool.example.com/shop", "postgresql://direct.example.com/shop"
    assert read_direct_url({"DATABASE_URL": pooled, "LISTEN_DATABASE_URL": direct}) == direct
    assert read_direct_url({"DATABASE_URL": pooled}) == pooled
    with pytest.raises(Fatal, match="DATABASE_URL"):
        read_direct_url({})


HOOK = "https://hooks.example.com/services/T0/B0/a-token?key=another"


def test_alert_url_is_a_secret_in_every_form_in_which_it_travels() -> None:
    settings = read(ALERT_URL=HOOK)
    assert settings.alert_url == HOOK
    assert "a-token" not in repr(settings)
    assert {HOOK, "/services/T0/B0/a-token?key=another"} <= set(settings.secrets())
    assert read().alert_url is None


@pytest.mark.parametrize(
    "text",
    ["hooks.example.com/a-token", "ftp://x/a-token", "https:///a-token", "https://x:y/a-token", "https://x/a-token#f"],
)
def test_an_alert_url_to_which_nothing_can_be_posted_is_a_fault_that_does_not_repeat_it(text: str) -> None:
    assert fault(ALERT_URL=text).startswith("ALERT_URL must be an http or https URL")
    assert "a-token" not in fault(ALERT_URL=text)


def test_alert_url_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{HOOK}\n")
    assert read(ALERT_URL_FILE=str(tmp_path / "url")).alert_url == HOOK
