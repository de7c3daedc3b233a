"""A service account's key file: what is taken of it, and what is refused without being repeated."""

import json
from typing import Any

import pytest

from listener.errors import Rejected
from listener.sources.drive.key import read_key

LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCinventedinven"
PEM = f"-----BEGIN PRIVATE KEY-----\n{LINE}\nshortline==\n-----END PRIVATE KEY-----\n"
KEY = {
    "type": "service_account",
    "private_key_id": "0123abcd",
    "private_key": PEM,
    "client_email": "orders-reader@sample-shop.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def refused(text: str) -> str:
    with pytest.raises(Rejected) as raised:
        read_key(text)
    assert LINE not in str(raised.value)
    assert str(raised.value).startswith("names a ")
    return str(raised.value)


def changed(**members: Any) -> str:
    return json.dumps({name: value for name, value in (KEY | members).items() if value is not None})


def test_what_is_needed_of_a_key_is_taken_and_the_rest_is_left() -> None:
    key = read_key(changed(universe_domain="example.org", client_id="7"))
    assert (key.client_email, key.private_key, key.private_key_id, key.token_uri) == (
        *(KEY["client_email"], PEM, "0123abcd", KEY["token_uri"]),
    )


def test_the_private_key_is_masked_whole_and_line_by_line_and_is_not_in_the_repr() -> None:
    key = read_key(changed())
    assert key.secrets() == [PEM, LINE]
    assert LINE not in repr(key)


@pytest.mark.parametrize("text", ["", "{", "not json", "[" * 100_000])
def test_what_is_no_json_is_no_key(text: str) -> None:
    assert "no JSON" in refused(text)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', changed(type="external_account"), changed(type=None)])
def test_credentials_of_another_kind_are_refused(text: str) -> None:
    assert "not the key of a service account" in refused(text)


@pytest.mark.parametrize("value", [None, "", 7, {"a": 1}])
@pytest.mark.parametrize("name", ["client_email", "private_key", "private_key_id", "token_uri"])
def test_what_is_missing_is_named(name: str, value: object) -> None:
    assert refused(changed(**{name: value})).startswith(f"names a key without {name}")


@pytest.mark.parametrize("email", ["nobody", "a@b c", "a\nERROR forged@b", "a@" + "b" * 300, "<a@b>", "@"])
def test_an_address_that_could_not_be_shown_is_refused(email: str) -> None:
    assert "client_email is no address" in refused(changed(client_email=email))


@pytest.mark.parametrize("key", ["0x1234", "BEGIN PRIVATE KEY", PEM + "x" * 9000])
def test_what_is_no_private_key_is_refused(key: str) -> None:
    assert "private_key is no PEM" in refused(changed(private_key=key))


@pytest.mark.parametrize(
    "uri",
    [
        *("https://oauth2.googleapis.com/token", "https://proxy.example.com:8443/token"),
        *("http://127.0.0.1:8080/token", "http://localhost/token", "http://[::1]:1/token"),
    ],
)
def test_a_token_endpoint_is_encrypted_or_on_this_machine(uri: str) -> None:
    assert read_key(changed(token_uri=uri)).token_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        *("http://example.com/token", "http://127.0.0.1.example.com/", "http://localhost.example.com/"),
        *("ftp://example.com/", "file:///etc/passwd", "token", "https://", "https://user:pw@example.com/"),
        *("https://exa mple.com/", "https://example.com/\nX: y", "http://[::1", "https://example.com:99999/"),
        "https://exämple.com/",
    ],
)
def test_any_other_token_endpoint_is_refused(uri: str) -> None:
    assert "token_uri is no https address" in refused(changed(token_uri=uri))
