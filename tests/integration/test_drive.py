"""A folder of Google Drive as a source, over real HTTP: what is listed, what is read, and what each refusal means."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.embedded.drive import DriveSimulator
from listener.embedded.postgres import free_port
from listener.errors import Fatal, Rejected, Transient
from listener.settings import DriveFolder
from listener.sources.drive import source as drive_source
from listener.sources.drive.open import open_folder
from listener.sources.drive.source import Drive
from listener.sources.source import Changed, Listing, SourceFile
from tests.support.drive import folder_of, read, source_of

FILES = "/drive/v3/files"
TOKEN = "/token"  # noqa: S105  a path


class Shop:
    """The simulated Drive, and the source that reads its folder, with a clock that the test moves."""

    def __init__(self, drive: DriveSimulator, key_file: Path) -> None:
        self.drive, self.user, self.key_file, self.now = drive, drive.user, key_file, 100.0
        self.environment = drive.environment(key_file)
        self.source = self.another()

    def folder(self, **changed: str) -> DriveFolder:
        """Return the folder with what the key file holds now."""
        return folder_of(self.environment, **changed)

    def another(self, **changed: str) -> Drive:
        """Return the source as a process that was just started has it."""
        return source_of(self.folder(**changed), lambda: self.now)

    def listing(self) -> Listing:
        return self.source.listing()

    def files(self) -> list[SourceFile]:
        """Return what is listed, once nothing is wrong with any of it."""
        listing = self.listing()
        assert (listing.unsettled, listing.unreadable) == ((), ())
        return list(listing.files)

    def names(self) -> list[str]:
        return [file.name for file in self.files()]

    def fault(self) -> str:
        """Return what is said of a folder that cannot be read."""
        with pytest.raises(Transient) as raised:
            self.listing()
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def calls(self, path: str = FILES) -> int:
        return sum(request.path == path for request in self.drive.requests)


@pytest.fixture
def shop(drive: DriveSimulator, tmp_path: Path) -> Shop:
    return Shop(drive, tmp_path / "key.json")


# What is listed.


def test_xml_files_of_any_case_are_listed_by_name_and_nothing_else(shop: Shop) -> None:
    for name in ("b.xml", "A.XML", "orders.Xml", ".hidden.xml", "orders.xml.part", "xml", "orders.csv"):
        shop.user.upload(b"<orders/>", name, mime_type="application/octet-stream")
    shop.user.upload(b"<orders/>", "trashed.xml")
    shop.user.trash(shop.drive.user.files()[-1]["id"])
    below = shop.user.create("folder.xml")
    shop.user.upload(b"<orders/>", "deeper.xml", folder=below)
    shop.user.create("document.xml", "application/vnd.google-apps.document")
    shop.user.create("shortcut.xml", "application/vnd.google-apps.shortcut")
    assert shop.names() == ["A.XML", "b.xml", "orders.Xml"]


@pytest.mark.parametrize("mime_type", ["text/xml", "application/xml", "text/plain", "application/octet-stream"])
def test_a_file_is_known_by_its_name_whatever_type_its_uploader_gave_it(shop: Shop, mime_type: str) -> None:
    shop.user.upload(b"<orders/>", mime_type=mime_type)
    assert shop.names() == ["orders.xml"]


def test_files_of_the_same_name_are_two_files(shop: Shop) -> None:
    first, second = shop.user.upload(b"<a/>"), shop.user.upload(b"<bb/>")
    files = shop.files()
    assert {file.file_id: read(shop.source, file) for file in files} == {first: b"<a/>", second: b"<bb/>"}


def test_a_long_list_is_read_page_by_page_also_over_empty_pages(shop: Shop) -> None:
    for number in range(7):
        shop.user.upload(b"<orders/>", f"{number}.xml")
    shop.user.limit_pages(3)
    assert shop.names() == [f"{number}.xml" for number in range(7)]
    assert shop.calls() == 3


def test_a_list_without_an_end_is_an_outage(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    shop.user.limit_pages(0)
    assert "has no end" in shop.fault()
    assert shop.calls() <= 100


def test_a_list_that_is_not_complete_is_an_outage(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    shop.user.search_incompletely(True)
    assert "not complete" in shop.fault()


def test_a_folder_in_a_shared_drive_is_read(shop: Shop) -> None:
    folder = shop.user.new_shared_drive_folder()
    shop.user.upload(b"<orders/>", folder=folder)
    source = shop.another(ORDER_SOURCE=f"drive:{folder}")
    (file,) = source.listing().files
    assert read(source, file) == b"<orders/>"


def test_a_name_that_cannot_be_shown_or_is_too_long_is_told_and_the_others_go_on(shop: Shop) -> None:
    for name in ("a\nb.xml", "c.xml", "d" * 300 + ".xml"):
        shop.user.upload(b"<orders/>", name)
    listing = shop.listing()
    assert [file.name for file in listing.files] == ["c.xml"]
    assert dict(listing.unreadable) == {
        "a\\nb.xml": "its name has characters that cannot be shown; rename it",
        "d" * 255: "its name is longer than 255 characters; rename it",
    }


# What tells a file from one that was read before.


def revisions(shop: Shop) -> set[tuple[str, str]]:
    return {(file.file_id, file.revision) for file in shop.files()}


def test_a_new_content_is_a_new_revision_whatever_its_time_says(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    before = revisions(shop)
    shop.user.replace(file_id, b"<oRders/>", modified=datetime(2001, 1, 1, tzinfo=UTC))
    assert not revisions(shop) & before


def test_a_new_time_or_name_and_the_same_bytes_again_are_no_news(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    before = revisions(shop)
    shop.user.touch(file_id, datetime(2031, 1, 1, tzinfo=UTC))
    shop.user.rename(file_id, "renamed.xml")
    shop.user.replace(file_id, b"<orders/>")
    assert revisions(shop) == before


def test_a_file_that_was_deleted_and_uploaded_again_is_another(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    before = revisions(shop)
    shop.user.delete(file_id)
    shop.user.upload(b"<orders/>")
    assert not revisions(shop) & before


def test_a_file_that_comes_back_from_the_trash_is_new_and_stays_the_same_from_then_on(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    before = revisions(shop)
    shop.user.trash(file_id)
    assert shop.files() == []
    shop.user.untrash(file_id)
    after = revisions(shop)
    assert not after & before
    assert revisions(shop) == after
    shop.source = shop.another()
    assert revisions(shop) == before, "a restart knows it by what was imported first"


def test_a_file_that_comes_back_with_another_content_is_as_any_new_one(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    shop.files()
    shop.user.trash(file_id)
    shop.files()
    shop.user.untrash(file_id)
    shop.user.replace(file_id, b"<others/>")
    here = revisions(shop)
    shop.source = shop.another()
    assert revisions(shop) == here


def test_a_restart_sees_the_same_revisions(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    before = revisions(shop)
    shop.source = shop.another()
    assert revisions(shop) == before


# What is read.


@pytest.mark.parametrize("content", [b"", b"<orders/>", bytes(range(256)) * 5000])
def test_a_file_is_read_as_it_was_listed(shop: Shop, content: bytes) -> None:
    shop.user.upload(content)
    (file,) = shop.files()
    assert (file.size, read(shop.source, file)) == (len(content), content)


@pytest.mark.parametrize("content", [b"<oRders/>", b"<orders/>\n", b"<orders", b"", b"x" * 100_000])
def test_a_file_that_changes_between_list_and_download_is_not_taken_and_listed_again(
    shop: Shop, content: bytes
) -> None:
    file_id = shop.user.upload(b"<orders/>")
    (file,) = shop.files()
    shop.user.replace(file_id, content)
    with pytest.raises(Changed, match="its bytes are not those that Drive lists"):
        read(shop.source, file)
    (again,) = shop.files()
    assert again.revision != file.revision
    assert read(shop.source, again) == content


def test_a_file_that_is_gone_since_is_not_an_outage(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    (file,) = shop.files()
    shop.user.delete(file_id)
    with pytest.raises(Changed, match="not there"):
        read(shop.source, file)
    assert shop.files() == []


@pytest.mark.parametrize("kind", ["short", "other-bytes"])
def test_a_spoilt_download_is_not_taken_and_is_right_a_second_later(shop: Shop, kind: str) -> None:
    shop.user.upload(b"<orders/>")
    (file,) = shop.files()
    shop.drive.inject(kind, times=1)
    with pytest.raises(Changed):
        read(shop.source, file)
    assert shop.listing() == Listing(unsettled=("orders.xml",))
    shop.now += 1
    (again,) = shop.files()
    assert read(shop.source, again) == b"<orders/>"


def test_a_download_that_is_cut_is_asked_for_once_more(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>" * 1000)
    (file,) = shop.files()
    shop.drive.inject("cut", alt="media", times=1)
    assert read(shop.source, file) == b"<orders/>" * 1000
    assert shop.drive.downloads(file_id) == 2


def test_a_list_that_lags_holds_up_no_other_file_and_is_named_when_it_lasts(shop: Shop) -> None:
    late = shop.user.upload(b"<orders/>", "a.xml")
    shop.user.upload(b"<orders/>", "b.xml")
    shop.files()
    shop.user.lag(True)
    shop.user.replace(late, b"<others/>")
    for _ in range(3):
        listing = shop.listing()
        with pytest.raises(Changed):
            read(shop.source, next(file for file in listing.files if file.name == "a.xml"))
        assert shop.listing().files[0].name == "b.xml"
        assert (shop.listing().unsettled, shop.listing().unreadable) == (("a.xml",), ())
        shop.now += 1
    with pytest.raises(Changed):
        read(shop.source, shop.listing().files[1])
    named = shop.listing()
    assert ([file.name for file in named.files], named.unsettled) == (["b.xml"], ())
    assert named.unreadable == (("a.xml", drive_source.OTHER_BYTES),)
    shop.now += 60
    again = shop.listing()
    assert ([file.name for file in again.files], again.unreadable) == (["b.xml", "a.xml"], named.unreadable)
    shop.user.lag(False)
    assert shop.names() == ["a.xml", "b.xml"], "another content starts without a past"


@pytest.mark.parametrize("reason", ["cannotDownloadAbusiveFile", "downloadQuotaExceeded", "fileNotDownloadable"])
def test_a_file_that_may_not_be_downloaded_is_named_at_once_and_the_others_go_on(shop: Shop, reason: str) -> None:
    shop.user.upload(b"<orders/>", "a.xml")
    shop.user.upload(b"<orders/>", "b.xml")
    first, _ = shop.files()
    shop.drive.inject("403", reason=reason, path=f"{FILES}/{first.file_id}", times=1)
    with pytest.raises(Changed):
        read(shop.source, first)
    listing = shop.listing()
    assert [file.name for file in listing.files] == ["b.xml"]
    ((name, why),) = listing.unreadable
    assert (name, reason in why) == ("a.xml", True)
    shop.now += 60
    assert read(shop.source, shop.listing().files[1]) == b"<orders/>"
    assert shop.names() == ["a.xml", "b.xml"]


@pytest.mark.parametrize("fault", ["500", "503", "drop", "cut"])
def test_a_file_that_alone_cannot_be_had_is_an_outage_and_comes_after_the_others(shop: Shop, fault: str) -> None:
    for name in ("a.xml", "b.xml"):
        shop.user.upload(b"<orders/>", name)
    first, _ = shop.files()
    shop.drive.inject(fault, path=f"{FILES}/{first.file_id}")
    with pytest.raises(Transient) as raised:
        read(shop.source, first)
    assert not isinstance(raised.value, Changed)
    shop.now += 60
    assert [file.name for file in shop.listing().files] == ["b.xml", "a.xml"]


def test_a_file_that_is_too_large_is_listed_and_never_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_source, "LARGEST_FILE", 2**20)
    file_id = shop.user.upload(b" " * 3 * 2**20)
    (file,) = shop.files()
    with pytest.raises(Rejected, match="the file has 3 MB; at most 1 MB are read"):
        read(shop.source, file)
    assert shop.drive.downloads(file_id) == 0


# Whether the folder can be read at all.


def test_the_folder_is_looked_at_once_at_the_start_and_a_folder_that_rests_costs_one_call(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    for _ in range(5):
        shop.files()
    assert (shop.calls(), shop.calls(f"{FILES}/{shop.drive.folder_id}"), shop.calls(TOKEN)) == (5, 1, 1)


def test_an_empty_folder_is_empty(shop: Shop) -> None:
    assert [shop.files() for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize("hidden", [True, False], ids=["reads as empty", "reads as 404"])
@pytest.mark.parametrize("began", [True, False], ids=["while it runs", "at the start"])
def test_a_folder_that_is_not_shared_never_reads_as_empty(shop: Shop, hidden: bool, began: bool) -> None:
    shop.user.upload(b"<orders/>")
    shop.user.hide_unshared(hidden)
    if began:
        shop.files()
    shop.user.unshare()
    fault = shop.fault()
    assert shop.drive.folder_id in fault
    assert shop.drive.service_account in fault
    assert fault.endswith("or correct ORDER_SOURCE")
    assert shop.fault() == fault, "the same sentence each time, so that it is said once"
    shop.user.share()
    assert shop.names() == ["orders.xml"]


def test_a_folder_that_does_not_exist_reads_as_one_that_is_not_shared(shop: Shop) -> None:
    shop.source = shop.another(ORDER_SOURCE="drive:1nowhere")
    assert "1nowhere" in shop.fault()


def test_a_folder_in_the_trash_is_no_empty_folder(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    shop.files()
    shop.user.trash(shop.drive.folder_id)
    assert "it is in the trash" in shop.fault()
    shop.user.untrash(shop.drive.folder_id)
    assert len(shop.listing().files) == 1


def test_a_file_is_no_folder(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    shop.source = shop.another(ORDER_SOURCE=f"drive:{file_id}")
    assert "it is no folder" in shop.fault()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("403:reason=accessNotConfigured", "the Drive API is not switched on"),
        ("403:reason=insufficientPermissions", "the key may not read Drive"),
        ("403:reason=insufficientFilePermissions", "answered 403 (insufficientFilePermissions)"),
        ("403:reason=userRateLimitExceeded", "answered 403 (userRateLimitExceeded)"),
        ("404", "share it, or correct ORDER_SOURCE"),
        ("429", "answered 429 (rateLimitExceeded)"),
        ("500", "answered 500 (backendError): Backend Error"),
        ("503", "answered 503"),
        ("drop", "there is no answer: "),
        ("cut", "there is no answer: "),
        ("redirect:location=http://127.0.0.1:1/", "answered 302"),
        ("answer:body=<html>", "its answer is not JSON"),
        ("answer:body={}", "its answer is no list of files"),
        ("answer:status=204", "answered 204"),
        ("answer:status=400", "answered 400"),
    ],
)
def test_every_fault_names_folder_and_address_and_ends_by_itself(shop: Shop, fault: str, words: str) -> None:
    shop.user.upload(b"<orders/>")
    shop.files()
    shop.drive.inject(fault + ("," if ":" in fault else ":") + f"path={FILES}")
    said = shop.fault()
    start = f"Google Drive folder {shop.drive.folder_id} cannot be read as {shop.drive.service_account}: "
    assert said.startswith(start)
    assert words in said
    shop.drive.clear_faults()
    assert shop.names() == ["orders.xml"]


def test_nobody_at_the_address_is_an_outage(shop: Shop) -> None:
    shop.source = shop.another(DRIVE_BASE_URL=f"http://127.0.0.1:{free_port()}")
    assert "there is no answer: " in shop.fault()


@pytest.mark.parametrize("fault", ["500", "503", "drop", "cut"])
def test_one_missing_answer_is_asked_for_again_and_nobody_hears_of_it(shop: Shop, fault: str) -> None:
    shop.user.upload(b"<orders/>")
    shop.drive.inject(fault, times=1, path=FILES)
    assert shop.names() == ["orders.xml"]


@pytest.mark.parametrize("fault", ["429:retry_after=90", "403:retry_after=90", "503:retry_after=90"])
def test_a_refusal_that_names_a_time_is_heeded(shop: Shop, fault: str) -> None:
    shop.drive.inject(f"{fault},path={FILES}")
    with pytest.raises(Transient) as raised:
        shop.listing()
    assert raised.value.retry_after == 90


def test_too_many_requests_are_not_answered_by_one_more(shop: Shop) -> None:
    shop.drive.inject("429", path=FILES)
    shop.fault()
    assert shop.calls() == 1


# Tokens.


def test_a_token_that_ran_out_early_is_renewed_once_and_nobody_hears_of_it(shop: Shop) -> None:
    file_id = shop.user.upload(b"<orders/>")
    shop.files()
    shop.drive.expire_tokens()
    (file,) = shop.files()
    shop.drive.expire_tokens()
    assert read(shop.source, file) == b"<orders/>"
    assert (shop.calls(TOKEN), shop.drive.downloads(file_id)) == (3, 2)


def test_a_token_that_is_about_to_run_out_is_renewed_before_it_is_used(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    shop.drive.give_tokens_for(60)
    shop.files()
    shop.files()
    assert shop.calls(TOKEN) == 3, "for the folder, and for two lists"
    assert all(request.status == 200 for request in shop.drive.requests)


def test_a_token_that_is_refused_although_it_is_new_is_a_fault_and_no_endless_renewing(shop: Shop) -> None:
    shop.drive.inject("401", path=FILES)
    assert "the token is refused that Google has just given" in shop.fault()
    assert shop.calls() == 2


def test_a_key_that_was_deleted_is_named_and_its_successor_is_read_from_the_file(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    shop.drive.change_key()
    fault = shop.fault()
    assert "Google refuses its key (invalid_grant: Invalid JWT Signature)" in fault
    assert fault.endswith("see GOOGLE_APPLICATION_CREDENTIALS")
    assert shop.fault() == fault
    shop.drive.write_key(shop.key_file)
    assert shop.names() == ["orders.xml"]


def test_a_refused_key_whose_file_is_gone_says_so(shop: Shop) -> None:
    shop.drive.change_key()
    shop.fault()
    shop.key_file.unlink()
    assert "GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read" in shop.fault()
    shop.drive.write_key(shop.key_file)
    assert shop.files() == []


@pytest.mark.parametrize("hours", [-2, 2], ids=["slow", "fast"])
def test_a_clock_that_is_wrong_is_told_in_googles_words(shop: Shop, hours: int) -> None:
    shop.drive.clock = lambda: datetime.fromtimestamp(datetime.now(UTC).timestamp() + hours * 3600, UTC)
    assert "iat and exp are not within a reasonable timeframe" in shop.fault()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "the token endpoint answered 500"),
        ("503", "the token endpoint answered 503"),
        ("429", "the token endpoint answered 429"),
        ("redirect:location=http://127.0.0.1:1/", "the token endpoint answered 302"),
        ("404", "Google refuses its key (answered 404)"),
        ("drop", "there is no answer: "),
        ("answer:body=[]", "its answer is no JSON object"),
        ("answer:body={}", "the token endpoint's answer holds no token"),
    ],
)
def test_a_token_endpoint_that_gives_none_is_an_outage_without_a_wait_in_our_thread(
    shop: Shop, fault: str, words: str
) -> None:
    shop.drive.inject(fault + ("," if ":" in fault else ":") + f"path={TOKEN}")
    assert words in shop.fault()
    assert shop.calls(TOKEN) <= 2
    shop.drive.clear_faults()
    assert shop.files() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": 7, "expires_in": 3599},
        {"access_token": "", "expires_in": 3599},
        {"access_token": "a\nInjected: header", "expires_in": 3599},
        {"access_token": "a b", "expires_in": 3599},
        {"access_token": "ä", "expires_in": 3599},
        {"access_token": "x" * 5000, "expires_in": 3599},
        {"access_token": "token"},
        {"access_token": "token", "expires_in": -1},
        {"access_token": "token", "expires_in": "soon"},
        {"access_token": "token", "expires_in": 1e300},
        {"access_token": "token", "expires_in": True},
        [],
        None,
    ],
)
def test_a_hostile_token_endpoint_is_an_outage_and_nothing_worse(shop: Shop, answer: object) -> None:
    shop.drive.inject("answer", path=TOKEN, body=json.dumps(answer))
    assert "token" in shop.fault() or "JSON" in shop.fault()
    assert shop.calls() == 0


# The key, at the start.


def change(shop: Shop, **members: object) -> None:
    shop.key_file.write_text(json.dumps(json.loads(shop.key_file.read_text()) | members))


def ec_key() -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        lambda pem: pem[:-60],
        lambda _: ec_key(),
        lambda pem: pem.replace("PRIVATE", "PUBLIC"),
    ],
    ids=["rubbish", "cut off", "of another kind", "public"],
)
def test_a_key_that_cannot_sign_ends_the_start_and_is_not_repeated(shop: Shop, spoil: Callable[[str], str]) -> None:
    pem = spoil(json.loads(shop.key_file.read_text())["private_key"])
    change(shop, private_key=pem)
    folder = shop.folder()
    with pytest.raises(Fatal) as raised:
        open_folder(folder.folder_id, folder.base_url, folder.key, folder.read_key)
    assert str(raised.value).startswith("GOOGLE_APPLICATION_CREDENTIALS names a key whose private_key cannot be used")
    assert pem.split("\n")[1] not in str(raised.value)


def test_what_else_the_key_file_says_changes_nothing(shop: Shop) -> None:
    shop.user.upload(b"<orders/>")
    change(shop, universe_domain="example.org", quota_project_id="x", trust_boundary={"a": 1}, token_info_url="x")  # noqa: S106
    shop.source = shop.another()
    assert shop.names() == ["orders.xml"]


def test_google_auth_is_not_imported_where_it_is_not_used() -> None:
    code = "import listener.daemon, listener.cli.run, sys; print([m for m in sys.modules if m.startswith('google')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
