"""What Drive's answers say, and that none that is not whole reads as "nothing there"."""

import hashlib
import json
from io import BytesIO
from typing import Any

import pytest

from listener.errors import Transient
from listener.sources.drive.answers import (
    Denied,
    Entry,
    KeyRefused,
    Missing,
    Outage,
    Throttled,
    Unauthenticated,
    check_token,
    decode_entry,
    decode_page,
    in_short,
    refusal,
    token_refusal,
)

FILE = {
    "id": "1abc",
    "name": "orders.xml",
    "mimeType": "text/xml",
    "trashed": False,
    "size": "9",
    "headRevisionId": "0B1",
    "md5Checksum": "a" * 32,
    "sha256Checksum": "B" * 64,
    "version": "12",
}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def error(status: int, reason: str = "", message: str = "No.") -> bytes:
    return body({"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}})


def test_a_page_holds_files_and_the_token_of_the_next() -> None:
    page = decode_page(body({"files": [FILE], "nextPageToken": "t", "incompleteSearch": False}))
    assert page.next_token == "t"  # noqa: S105
    assert page.entries == (
        Entry("1abc", "orders.xml", "text/xml", False, 9, f"sha256:{'b' * 64}", head="0B1", version="12"),
    )
    assert decode_page(body({"files": []})).next_token == ""


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html></html>",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"files": [',
        body([]),
        body(None),
        body({}),
        body({"files": None}),
        body({"files": {}}),
        body({"files": [None]}),
        body({"files": [], "nextPageToken": 7}),
        body({"files": [], "incompleteSearch": True}),
        body({"files": [{**FILE, "id": 7}]}),
        body({"files": [{**FILE, "id": "a\nb"}]}),
        body({"files": [{**FILE, "id": ""}]}),
        body({"files": [{**FILE, "name": None}]}),
        body({"files": [{name: FILE[name] for name in ("id", "name")}]}),
    ],
)
def test_what_is_no_whole_page_is_an_outage(page: bytes) -> None:
    with pytest.raises(Outage):
        decode_page(page)


def entry(**changed: Any) -> Entry:
    return decode_entry(body({name: value for name, value in (FILE | changed).items() if value is not None}))


@pytest.mark.parametrize(
    ("size", "read"),
    [("9", 9), ("0", 0), (9, 9), ("9007199254740993", 2**53 + 1), (None, None)]
    + [(wrong, None) for wrong in ("-1", "9.0", "", "x", [], True, 1.5, "9" * 40, "٣")],
)
def test_a_size_is_a_whole_number_that_travels_as_a_string(size: object, read: int | None) -> None:
    assert entry(size=size).size == read


def test_the_revision_is_the_best_checksum_there_is_or_else_the_head() -> None:
    assert entry().revision == f"sha256:{'b' * 64}"
    assert entry(sha256Checksum=None).revision == f"md5:{'a' * 32}"
    assert entry(sha256Checksum=None, md5Checksum=None).revision == "head:0B1"
    assert entry(sha256Checksum="no digest", md5Checksum=7, headRevisionId=None).revision == ""


def test_a_new_version_name_or_time_is_no_other_revision() -> None:
    assert entry(version="13", name="b.xml", modifiedTime="2031-01-01T00:00:00Z").revision == entry().revision


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_bytes_are_of_the_file_when_size_and_checksum_say_so(kind: str) -> None:
    digest = hashlib.new(kind, b"<orders/>", usedforsecurity=False).hexdigest()
    listed = Entry("1", "a.xml", "text/xml", size=9, checksum=f"{kind}:{digest}")
    assert listed.is_of(BytesIO(b"<orders/>"))
    assert not listed.is_of(BytesIO(b"<oRders/>"))
    assert not Entry("1", "a.xml", "text/xml", size=8, checksum=f"{kind}:{digest}").is_of(BytesIO(b"<orders/>"))


def test_without_a_checksum_the_size_alone_speaks() -> None:
    listed = Entry("1", "a.xml", "text/xml", size=9, head="0B1")
    assert (listed.is_of(BytesIO(b"<orders/>")), listed.is_of(BytesIO(b"<orders"))) == (True, False)


@pytest.mark.parametrize(
    ("mime_type", "has_bytes"),
    [("text/xml", True), ("application/octet-stream", True), ("", True)]
    + [(f"application/vnd.google-apps.{kind}", False) for kind in ("folder", "document", "shortcut", "unknown")],
)
def test_what_google_made_itself_has_no_bytes(mime_type: str, has_bytes: bool) -> None:
    assert entry(mimeType=mime_type).has_bytes is has_bytes


# Refusals.


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (429, "rateLimitExceeded", Throttled),
        (429, "", Throttled),
        (403, "userRateLimitExceeded", Throttled),
        (403, "rateLimitExceeded", Throttled),
        (403, "dailyLimitExceeded", Throttled),
        (401, "authError", Unauthenticated),
        (404, "notFound", Missing),
        (403, "insufficientFilePermissions", Denied),
        (403, "accessNotConfigured", Denied),
        (403, "cannotDownloadAbusiveFile", Denied),
        (403, "", Denied),
        (500, "backendError", Outage),
        (503, "", Outage),
        (400, "invalid", Outage),
        (302, "", Outage),
        (204, "", Outage),
        (200 + 6, "", Outage),
    ],
)
def test_a_refusal_is_known_by_its_reason(status: int, reason: str, kind: type[Transient]) -> None:
    assert type(refusal(status, error(status, reason))) is kind


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"<html>", body([]), body({"error": "x"}), body({"error": {}}), body({"error": {"errors": "x"}})),
        *(body({"error": {"errors": [7], "message": 7}}), body({"error": {"errors": [{"reason": ["x"]}]}})),
    ],
)
def test_a_refusal_that_says_nothing_is_known_by_its_status(answer: bytes) -> None:
    for status, kind in ((403, Denied), (404, Missing), (503, Outage), (429, Throttled)):
        found = refusal(status, answer)
        assert (type(found), str(found)) == (kind, f"answered {status}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (" 7 ", 7), ("86400", 3600), ("", None), ("-1", None), ("soon", None), ("9" * 400, None), ("٣", None)],
)
def test_a_time_to_wait_is_heeded_for_an_hour_at_most(header: str, seconds: float | None) -> None:
    assert refusal(429, b"", header).retry_after == seconds
    found = refusal(503, b"", header)
    assert (type(found), found.retry_after) == (Outage if seconds is None else Throttled, seconds)


def test_a_days_limit_is_waited_for_an_hour_at_a_time() -> None:
    assert refusal(403, error(403, "dailyLimitExceeded")).retry_after == 3600


def test_what_a_service_says_is_told_on_one_line_and_cut_short() -> None:
    said = str(refusal(403, error(403, "x", "line\nline\u2028\x1b[2J " + "y" * 5000)))
    assert said.isprintable() and len(said) < 300
    assert said.startswith("answered 403 (x): line line [2J yyy")
    assert in_short(None) == in_short({"a": 1}) == ""


# The token endpoint.


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, "invalid_grant: Invalid JWT"),
        (400, {"error": "invalid_grant"}, "(invalid_grant)"),
        (401, {"error": "unauthorized_client"}, "(unauthorized_client)"),
        (403, "<html>", "(answered 403)"),
        (404, {"error": {"code": 404}}, "(answered 404)"),
    ],
)
def test_a_refused_key_is_told_in_the_endpoints_words(status: int, answer: object, words: str) -> None:
    found = token_refusal(status, body(answer))
    assert isinstance(found, KeyRefused)
    assert words in str(found)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(found)


@pytest.mark.parametrize("status", [302, 429, 500, 502, 503, 504, 204])
def test_any_other_answer_of_the_token_endpoint_is_an_outage(status: int) -> None:
    assert isinstance(token_refusal(status, b""), Outage)


def test_a_token_is_taken_with_the_time_that_it_is_good_for() -> None:
    for seconds in (3599, "3599", 1, 86400):
        check_token(body({"access_token": "ya29.a-b_c", "expires_in": seconds}))


@pytest.mark.parametrize("seconds", [0, -1, 86401, None, "", "soon", 1.5, True, [], 10**400])
def test_a_token_that_is_good_for_no_time_is_none(seconds: object) -> None:
    with pytest.raises(Outage):
        check_token(body({"access_token": "ya29.a", "expires_in": seconds}))


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ä", None, 7, "x" * 5000])
def test_a_token_that_no_header_can_hold_is_none_and_is_not_repeated(token: object) -> None:
    with pytest.raises(Outage) as raised:
        check_token(body({"access_token": token, "expires_in": 3599}))
    assert str(raised.value) == "the token endpoint's answer holds no token"
