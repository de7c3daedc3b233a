"""The Drive simulator over real HTTP: who is given a token, what it opens, each call, each fault, its own calls.

The rule: every request here goes through urllib3 and a socket, as the listener's do, and assertions are signed by
google-auth, as the listener's are.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from google.auth import crypt, jwt
from urllib3.exceptions import HTTPError

from listener.embedded.drive import DriveSimulator, make_private_key

FILES = "/drive/v3/files"
READONLY = "https://www.googleapis.com/auth/drive.readonly"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SOON = 5.0


class Api:
    """A client that holds the service account's key, and a token once it has asked for one."""

    def __init__(self, drive: DriveSimulator, folder: Path) -> None:
        self.drive = drive
        self.key = json.loads(drive.write_key(folder / "key.json").read_text())
        self.pool = urllib3.PoolManager(retries=False, timeout=SOON)
        self.token = ""

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        aud = "https://oauth2.googleapis.com/token"  # Google's own, as google-auth has it whatever the key file says
        return {
            "iss": self.key["client_email"],
            "scope": READONLY,
            "aud": aud,
            "iat": now,
            "exp": now + 3600,
            **changed,
        }

    def ask_for_token(self, key: dict[str, Any] | None = None, **claims: Any) -> tuple[int, dict[str, Any]]:
        signer = crypt.RSASigner.from_service_account_info(key or self.key)
        return self.grant(jwt.encode(signer, self.claims(**claims)).decode())

    def grant(self, assertion: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": GRANT, "assertion": assertion}
        answer = self.pool.request("POST", self.key["token_uri"], fields=form, encode_multipart=False)
        return answer.status, answer.json()

    def sign_in(self, **claims: Any) -> None:
        _, body = self.ask_for_token(**claims)
        self.token = body["access_token"]

    def get(self, path: str = FILES, headers: dict[str, str] | None = None, **query: str) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.pool.request("GET", self.drive.url + path, fields=query, headers=headers)

    def reason(self, answer: urllib3.BaseHTTPResponse) -> str:
        (entry,) = answer.json()["error"]["errors"]
        return f"{answer.status} {entry['reason']}"

    def control(self, method: str, path: str, body: bytes = b"") -> urllib3.BaseHTTPResponse:
        return self.pool.request(method, f"{self.drive.url}/_simulator/{path}", body=body)


@pytest.fixture
def stranger(drive: DriveSimulator, tmp_path: Path) -> Iterator[Api]:
    """A client that has asked for no token yet."""
    api = Api(drive, tmp_path)
    yield api
    drive.stop()
    api.pool.clear()


@pytest.fixture
def api(stranger: Api) -> Api:
    stranger.sign_in()
    return stranger


class TestTokens:
    def test_a_signed_assertion_is_given_a_token_that_opens_the_folder(self, stranger: Api) -> None:
        status, body = stranger.ask_for_token()
        assert (status, body["token_type"], body["expires_in"]) == (200, "Bearer", 3599)
        assert stranger.reason(stranger.get()) == "401 authError"
        stranger.token = body["access_token"]
        assert stranger.get().status == 200

    def test_the_key_file_is_for_its_owner_alone(self, stranger: Api, tmp_path: Path) -> None:
        assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600

    def test_another_key_of_the_same_name_signs_nothing(self, stranger: Api, tmp_path: Path) -> None:
        with DriveSimulator(private_key=make_private_key()) as other:
            forged = json.loads(other.write_key(tmp_path / "other.json").read_text())
        for key_id in (forged["private_key_id"], stranger.key["private_key_id"]):
            status, body = stranger.ask_for_token(forged | {"private_key_id": key_id})
            assert (status, body["error"], body["error_description"]) == (
                400,
                "invalid_grant",
                "Invalid JWT Signature.",
            )

    @pytest.mark.parametrize(
        ("claims", "error"),
        [
            ({"iss": "somebody@else.example.com"}, "invalid_grant"),
            ({"iat": int(time.time()) - 8000, "exp": int(time.time()) - 4400}, "invalid_grant"),
            ({"iat": int(time.time()) + 9_000, "exp": int(time.time()) + 12_600}, "invalid_grant"),
            ({"exp": int(time.time()) + 90_000}, "invalid_grant"),
            ({"exp": "later"}, "invalid_grant"),
            ({"scope": "https://www.googleapis.com/auth/calendar"}, "invalid_scope"),
        ],
    )
    def test_an_assertion_that_does_not_hold_is_refused(
        self, stranger: Api, claims: dict[str, Any], error: str
    ) -> None:
        status, body = stranger.ask_for_token(**claims)
        assert (status, body["error"]) == (400, error)

    @pytest.mark.parametrize("assertion", ["", "a.b.c", "nonsense", "e30.e30.e30"])
    def test_what_is_no_assertion_is_refused(self, stranger: Api, assertion: str) -> None:
        assert stranger.grant(assertion)[0] == 400

    def test_a_token_runs_out_and_can_be_made_to(self, api: Api) -> None:
        api.drive.expire_tokens()
        assert api.reason(api.get()) == "401 authError"
        api.drive.give_tokens_for(0)
        api.sign_in()
        assert api.reason(api.get()) == "401 authError"

    def test_a_deleted_key_is_refused_and_the_next_one_is_written(self, api: Api, tmp_path: Path) -> None:
        api.drive.change_key()
        assert api.ask_for_token()[0] == 400
        api.key = json.loads(api.drive.write_key(tmp_path / "key.json").read_text())
        assert api.ask_for_token()[0] == 200

    def test_a_scope_for_metadata_lists_and_does_not_download(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"<orders/>")
        api.sign_in(scope="https://www.googleapis.com/auth/drive.metadata.readonly")
        assert api.get().status == 200
        assert api.reason(api.get(f"{FILES}/{file_id}", alt="media")) == "403 insufficientPermissions"

    def test_nothing_can_be_written_with_a_scope_to_read(self, api: Api) -> None:
        headers = {"Authorization": f"Bearer {api.token}"}
        answer = api.pool.request("POST", api.drive.url + FILES, headers=headers)
        assert api.reason(answer) == "403 insufficientPermissions"


class TestFiles:
    def test_a_file_is_listed_and_got_with_what_was_asked_for(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"<orders/>", "orders.xml")
        q = f"'{api.drive.folder_id}' in parents and trashed = false"
        (listed,) = api.get(q=q, fields="files(id,size,md5Checksum)").json()["files"]
        md5 = hashlib.md5(b"<orders/>", usedforsecurity=False).hexdigest()
        assert listed == {"id": file_id, "size": "9", "md5Checksum": md5}
        assert api.get(f"{FILES}/{file_id}", fields="name,version").json() == {"name": "orders.xml", "version": "1"}

    def test_its_bytes_come_whole_or_as_the_range_that_was_asked_for(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"0123456789", mime_type="application/xml")
        whole = api.get(f"{FILES}/{file_id}", alt="media")
        assert (whole.status, whole.data, whole.headers["Content-Type"]) == (200, b"0123456789", "application/xml")
        for asked, data, told in (
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=0-999", b"0123456789", "bytes 0-9/10"),
        ):
            part = api.get(f"{FILES}/{file_id}", {"Range": asked}, alt="media")
            assert (part.status, part.data, part.headers["Content-Range"]) == (206, data, told)

    def test_an_empty_file_has_no_range(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"")
        assert api.get(f"{FILES}/{file_id}", alt="media").status == 200
        answer = api.get(f"{FILES}/{file_id}", {"Range": "bytes=0-9"}, alt="media")
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */0")

    def test_what_has_no_bytes_is_not_downloaded(self, api: Api) -> None:
        file_id = api.drive.user.create("document", "application/vnd.google-apps.document")
        assert api.reason(api.get(f"{FILES}/{file_id}", alt="media")) == "403 fileNotDownloadable"

    def test_what_is_not_shared_is_not_there(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"<orders/>")
        api.drive.user.unshare()
        for path in (f"{FILES}/{file_id}", f"{FILES}/{api.drive.folder_id}", f"{FILES}/1nowhere"):
            assert api.reason(api.get(path)) == "404 notFound"

    def test_a_shared_drive_is_for_those_who_say_that_they_know_of_it(self, api: Api) -> None:
        folder = api.drive.user.new_shared_drive_folder()
        file_id = api.drive.user.upload(b"<orders/>", folder=folder)
        q = f"'{folder}' in parents"
        one, both = {"supportsAllDrives": "true"}, {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true"}
        assert [len(api.get(q=q, **flags).json()["files"]) for flags in ({}, one, both)] == [0, 0, 1]
        assert [api.get(f"{FILES}/{file_id}", **flags).status for flags in ({}, one)] == [404, 200]

    @pytest.mark.parametrize(
        ("path", "query"),
        [(FILES, {"q": "rubbish"}), (FILES, {"fields": "nofield"}), (FILES, {"supportAllDrives": "true"})],
    )
    def test_a_mistake_is_told(self, api: Api, path: str, query: dict[str, str]) -> None:
        assert api.get(path, **query).status == 400

    def test_no_other_path_is_served(self, api: Api) -> None:
        assert api.get("/drive/v3/changes").status == 404


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            ("401", 401),
            ("403:reason=accessNotConfigured", 403),
            ("404", 404),
            ("429", 429),
            ("500", 500),
            ("503", 503),
            ("redirect:location=http://127.0.0.1:1/", 302),
            ("answer:status=418,body=tea", 418),
        ],
    )
    def test_each_answers_in_place_of_the_service_and_as_often_as_told(self, api: Api, fault: str, status: int) -> None:
        api.drive.inject(f"{fault}{',' if ':' in fault else ':'}times=1")
        answers = [api.pool.request("GET", api.drive.url + FILES, redirect=False).status, api.get().status]
        assert answers == [status, 200]

    def test_a_refusal_may_name_a_time(self, api: Api) -> None:
        api.drive.inject("403:retry_after=9")
        assert api.get().headers["Retry-After"] == "9"

    @pytest.mark.parametrize("fault", ["drop", "cut"])
    def test_an_answer_may_not_come_or_not_wholly(self, api: Api, fault: str) -> None:
        api.drive.inject(fault)
        with pytest.raises(HTTPError):
            api.get()

    def test_a_download_may_be_spoilt_and_nothing_else_with_it(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"0123456789")
        for fault, data in (("short", b"01234"), ("other-bytes", b"1032547698")):
            api.drive.inject(fault, alt="media", times=1)
            assert api.get().status == 200
            assert api.get(f"{FILES}/{file_id}", alt="media").data == data

    def test_a_hold_lets_the_test_change_the_file_between_list_and_download(self, api: Api) -> None:
        file_id = api.drive.user.upload(b"old")
        hold = api.drive.hold(alt="media")
        got: list[bytes] = []
        asking = threading.Thread(target=lambda: got.append(api.get(f"{FILES}/{file_id}", alt="media").data))
        asking.start()
        assert hold.arrived.wait(SOON)
        api.drive.user.replace(file_id, b"new")
        hold.release()
        asking.join(SOON)
        assert got == [b"new"]


class TestControl:
    def test_files_come_and_go_by_http(self, api: Api) -> None:
        file_id = api.control("POST", "files?name=a.xml", b"<orders/>").json()["id"]
        assert api.control("GET", "files").json()["files"][-1]["name"] == "a.xml"
        api.control("PUT", f"files/{file_id}", b"<others/>")
        assert api.get(f"{FILES}/{file_id}", alt="media").data == b"<others/>"
        for act, trashed in (("trash", True), ("untrash", False)):
            api.control("POST", f"files/{file_id}/{act}")
            assert api.get(f"{FILES}/{file_id}", fields="trashed").json() == {"trashed": trashed}
        for act, status in (("unshare", 404), ("share", 200)):
            api.control("POST", act)
            assert api.get(f"{FILES}/{file_id}").status == status
        api.control("DELETE", f"files/{file_id}")
        assert api.get(f"{FILES}/{file_id}").status == 404

    def test_faults_and_calls_are_shown_and_set(self, api: Api) -> None:
        added = api.control("POST", "faults", b'[{"kind": "503", "times": 2}, "delay:seconds=0"]').json()
        assert [fault["kind"] for fault in added["faults"]] == ["503", "delay"]
        assert api.get().status == 503
        assert api.control("DELETE", "faults").json() == {"faults": []}
        api.control("POST", "expire_tokens")
        assert api.get().status == 401
        statuses = [request["status"] for request in api.control("GET", "requests").json()["requests"]]
        assert statuses == [200, 503, 401], "the token, and two calls; none of its own"

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", "nothing", b"", 404),
            ("PUT", "files/1nowhere", b"", 404),
            ("POST", "faults", b"sulk", 400),
            ("POST", "faults", b'"sulk"', 400),
        ],
    )
    def test_what_makes_no_sense_is_one_sentence(
        self, api: Api, method: str, path: str, body: bytes, status: int
    ) -> None:
        answer = api.control(method, path, body)
        assert (answer.status, list(answer.json())) == (status, ["error"])


def test_no_secret_is_in_its_log_of_calls(api: Api) -> None:
    api.get()
    assert api.token not in repr(api.drive.requests)
    assert "assertion" not in repr(api.drive.requests)


def test_it_comes_back_at_the_same_port_with_the_same_files(api: Api) -> None:
    file_id, port = api.drive.user.upload(b"<orders/>"), api.drive.port
    api.drive.stop()
    with pytest.raises(HTTPError):
        api.get()
    api.drive.start()
    assert (api.drive.port, api.get(f"{FILES}/{file_id}").status) == (port, 200)
