"""Google over the wire: answers have limits, redirects are not followed, and no failure tells a secret."""

import gzip
import json
import logging
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from listener.embedded.drive import DriveSimulator
from listener.errors import Transient
from listener.sources.drive import api
from listener.sources.drive.source import Drive
from listener.sources.source import Changed
from tests.support.drive import folder_of, read, source_of
from tests.support.raw_server import Speak, raw_server, says, trickle

FILES = "/drive/v3/files"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEASURED = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"

Connect = Callable[[Speak], Drive]


@pytest.fixture
def source(drive: DriveSimulator, tmp_path: Path) -> Drive:
    return source_of(folder_of(drive.environment(tmp_path / "key.json")))


@pytest.fixture
def speaks(drive: DriveSimulator, tmp_path: Path) -> Iterator[Connect]:
    """A source whose tokens are real and whose Drive does as it is told: `speaks(lambda peer: …)`."""
    with ExitStack() as stack:

        def connect(speak: Speak) -> Drive:
            url = stack.enter_context(raw_server(speak))
            return source_of(folder_of(drive.environment(tmp_path / "key.json"), DRIVE_BASE_URL=url))

        yield connect


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        pytest.param(CHUNKED, [b"1\r\nx\r\n"] * 15, id="chunks"),
        pytest.param(MEASURED, [b"x"] * 15, id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", [b"X-A: 1\r\n"] * 15, id="head"),
    ],
)
def test_an_answer_that_trickles_in_ends_with_the_deadline(
    speaks: Connect, monkeypatch: pytest.MonkeyPatch, head: bytes, pieces: list[bytes]
) -> None:
    monkeypatch.setattr(api, "DEADLINE_SECONDS", 0.3)
    ended = threading.Event()
    slow = speaks(trickle(head, pieces, ended))
    with pytest.raises(Transient, match="no whole answer within"):
        slow.listing()
    ended.set()


def test_a_list_longer_than_16_mb_is_an_outage(speaks: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LARGEST_ANSWER", 1024)
    with pytest.raises(Transient, match="too long to be read"):
        speaks(says(b" " * 1025)).listing()


def test_a_small_answer_that_unpacks_to_a_long_one_is_an_outage(
    speaks: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LARGEST_ANSWER", 1024 * 1024)
    packed = gzip.compress(b" " * 20 * 1024 * 1024)
    with pytest.raises(Transient, match="too long to be read"):
        speaks(says(packed, "200 OK", "Content-Encoding: gzip")).listing()


def test_a_download_ends_soon_after_the_listed_size(source: Drive, drive: DriveSimulator) -> None:
    file_id = drive.user.upload(b"<orders/>")
    (file,) = source.listing().files
    drive.user.replace(file_id, b"x" * 20 * 1024 * 1024)
    with pytest.raises(Changed):
        read(source, file)


def test_a_file_that_cannot_be_put_aside_is_our_own_fault_and_the_next_question_is_asked_well(
    source: Drive, drive: DriveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.user.upload(b"x" * 20 * 1024 * 1024)
    (file,) = source.listing().files
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", "/nonexistent")
        with pytest.raises(Transient, match=r"cannot be put aside in /nonexistent .*; see TMPDIR"):
            read(source, file)
    assert len(read(source, source.listing().files[0], 2**20)) == 20 * 1024 * 1024


def test_a_list_that_comes_compressed_is_read(speaks: Connect) -> None:
    folder = {"id": "1", "name": "orders", "mimeType": "application/vnd.google-apps.folder", "files": []}
    packed = gzip.compress(json.dumps(folder).encode())
    assert speaks(says(packed, "200 OK", "Content-Encoding: gzip")).listing().files == ()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"220 mail.example.com ESMTP\r\n", "spoke no HTTP"),
        (b"", "the connection broke off"),
        (b"HTTP/1.1 200 OK\r\n", "its answer is not JSON"),
    ],
)
def test_what_is_no_http_is_an_outage(speaks: Connect, said: bytes, words: str) -> None:
    with pytest.raises(Transient, match=words):
        speaks(lambda peer: peer.sendall(said)).listing()


def test_bytes_that_do_not_unpack_are_an_outage(speaks: Connect) -> None:
    with pytest.raises(Transient, match="does not unpack"):
        speaks(says(b"no gzip at all", "200 OK", "Content-Encoding: gzip")).listing()


@pytest.mark.parametrize("path", ["/token", FILES])
def test_a_redirect_is_not_followed_and_neither_token_nor_assertion_travels(
    source: Drive, drive: DriveSimulator, private_key: object, path: str
) -> None:
    with DriveSimulator(private_key=private_key) as elsewhere:
        drive.inject("redirect", path=path, location=f"{elsewhere.url}{path}")
        with pytest.raises(Transient, match="answered 302"):
            source.listing()
        assert elsewhere.requests == []


def test_one_connection_serves_many_questions(source: Drive, drive: DriveSimulator) -> None:
    for _ in range(5):
        source.listing()
    assert [pool.num_connections for pool in source._api._web._pool.pools._container.values()] == [1]


def test_a_connection_that_was_closed_meanwhile_is_replaced_unheard(source: Drive, drive: DriveSimulator) -> None:
    before = source.listing()
    drive.stop()
    drive.start()
    assert source.listing() == before


def test_no_failure_tells_a_secret(drive: DriveSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    folder = folder_of(drive.environment(tmp_path / "key.json"))
    source, faults = source_of(folder), []
    source.listing()
    token = str(source._api._tokens._credentials.token)
    drive.user.upload(b"<orders/>")
    echo = json.dumps({"error": {"message": f"bad token {token}", "errors": [{"reason": token}]}})
    for fault, options in (
        *(("drop", {}), ("cut", {}), ("503", {}), ("401", {}), ("403", {}), ("answer", {"body": "<html>"})),
        *(("answer", {"status": 403, "body": echo}), ("answer", {"status": 500, "body": echo})),
        ("answer", {"status": 500, "body": json.dumps({"error": {"message": "x" * 190 + token}})}),
        ("answer", {"path": "/token", "status": 400, "body": '{"error": "invalid_grant"}'}),
    ):
        drive.inject(fault, **options)
        if "path" in options:
            drive.expire_tokens()
        with pytest.raises(Transient) as raised:
            source.listing()
        faults.append(raised.value)
        drive.clear_faults()
    told = "".join("".join(traceback.format_exception(fault)) for fault in faults) + caplog.text
    assert "bad token ***" in told
    for secret in (token, *folder.key.secrets()):
        assert secret not in told


def test_a_token_endpoint_that_repeats_the_assertion_does_not_bring_it_into_the_log(
    drive: DriveSimulator, tmp_path: Path
) -> None:
    sent: list[bytes] = []

    def repeat(peer: socket.socket) -> None:
        said = json.dumps({"error": "invalid_grant", "error_description": sent[-1].decode().rpartition(".")[2]})
        says(said.encode(), "400 Bad Request")(peer)

    with raw_server(repeat, sent.append) as url:
        key_file = tmp_path / "key.json"
        folder = folder_of(drive.environment(key_file))
        folder = replace(folder, key=replace(folder.key, token_uri=url))
        with pytest.raises(Transient) as raised:
            source_of(folder).listing()
    assert "invalid_grant: ***" in str(raised.value)
