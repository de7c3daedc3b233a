"""The rules of the simulated Drive, without a socket: what a query finds, what `fields` leaves, how pages follow.

The rule: the clock stands still until a test moves it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.embedded.drive.calls import CallRefused
from listener.embedded.drive.fault import Fault
from listener.embedded.drive.fields import select_file, select_list
from listener.embedded.drive.listing import Lister
from listener.embedded.drive.query import read_query
from listener.embedded.drive.store import FOLDER, File, Store

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


class StillClock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def store(clock: StillClock) -> Store:
    return Store(clock)


@pytest.fixture
def folder(store: Store) -> File:
    folder = store.create("orders", FOLDER, "", None)
    folder.shared = True
    return folder


@pytest.fixture
def lister(store: Store) -> Lister:
    return Lister(store)


def file(**fields: Any) -> dict[str, Any]:
    shown = {"name": "Orders of May.xml", "mimeType": "text/xml", "trashed": False, "parents": ["F"]}
    return {**shown, "modifiedTime": "2026-01-15T12:00:00.000Z", "createdTime": "2026-01-14T12:00:00.000Z", **fields}


class TestQuery:
    @pytest.mark.parametrize(
        "q",
        [
            "",
            "'F' in parents",
            "trashed = false",
            "trashed=false and 'F' in parents",
            "not trashed = true",
            "name = 'Orders of May.xml'",
            "name != 'other'",
            "name contains 'ord' and name contains 'may'",
            "mimeType = 'text/xml' or mimeType = 'application/xml'",
            "mimeType != 'x' and (trashed = true or 'F' in parents)",
            "modifiedTime > '2026-01-15T11:59:59'",
            "modifiedTime <= '2026-01-15T13:00:00+01:00' and createdTime < '2026-01-15T00:00:00Z'",
            "not (name = 'x' or not trashed = false)",
        ],
    )
    def test_it_finds_what_it_asks_for(self, q: str) -> None:
        assert read_query(q)(file())

    @pytest.mark.parametrize(
        "q",
        [
            "'G' in parents",
            "trashed = true",
            "name = 'orders of may.xml'",
            "name contains '.xml'",  # it finds the beginnings of words: asking for a suffix finds nothing
            "mimeType = 'text/xml' and trashed = true",
            "modifiedTime > '2026-01-15T12:00:00Z'",
        ],
    )
    def test_it_leaves_out_the_rest(self, q: str) -> None:
        assert not read_query(q)(file())

    def test_quotes_and_backslashes_are_escaped_by_a_backslash(self) -> None:
        assert read_query(r"name = 'it\'s a \\.xml'")(file(name=r"it's a \.xml"))

    @pytest.mark.parametrize(
        "q",
        [
            "parents in 'F'",
            "'F' in owners",
            "name = orders",
            "trashed = 'false'",
            "trashed is false",
            "name contains 'a' and",
            "(trashed = false",
            "trashed = false)",
            "size > 3",
            "modifiedTime > 'yesterday'",
            "mimeType contains 'xml'",
            "'F in parents",
            "trashed = false; drop",
        ],
    )
    def test_what_it_does_not_know_is_refused_as_a_bad_value_of_q(self, q: str) -> None:
        with pytest.raises(CallRefused) as refused:
            read_query(q)
        (error,) = refused.value.answer.body["error"]["errors"]
        assert (refused.value.answer.status, error["reason"], error["location"]) == (400, "invalid", "q")


class TestFields:
    WHOLE = {  # noqa: RUF012 - never changed
        "kind": "drive#file",
        "id": "1",
        "name": "a",
        "mimeType": "b",
        "size": "3",
        "capabilities": {"canDownload": True},
    }

    def test_unasked_there_are_kind_id_name_and_type(self) -> None:
        assert set(select_file("", self.WHOLE)) == {"kind", "id", "name", "mimeType"}
        page = {"kind": "l", "incompleteSearch": False, "files": [self.WHOLE], "nextPageToken": "t"}
        chosen = select_list("", page)
        assert set(chosen) == {"kind", "incompleteSearch", "files", "nextPageToken"}
        assert set(chosen["files"][0]) == {"kind", "id", "name", "mimeType"}

    def test_only_what_was_asked_for_is_there(self) -> None:
        assert select_file("id, size", self.WHOLE) == {"id": "1", "size": "3"}
        page = {"kind": "l", "incompleteSearch": False, "files": [self.WHOLE], "nextPageToken": "t"}
        assert select_list("files(id,size)", page) == {"files": [{"id": "1", "size": "3"}]}
        assert select_list("files/id,nextPageToken", page) == {"files": [{"id": "1"}], "nextPageToken": "t"}
        assert select_list("files(id,capabilities/canDownload)", page)["files"][0]["capabilities"] == {
            "canDownload": True
        }

    def test_a_star_is_all_and_an_absent_field_is_absent(self) -> None:
        assert select_file("*", self.WHOLE) == self.WHOLE
        assert select_file("id,md5Checksum", self.WHOLE) == {"id": "1"}

    @pytest.mark.parametrize("fields", ["ids", "id,", "id)", "id name", ",", "files(id)"])
    def test_what_does_not_exist_is_refused(self, fields: str) -> None:
        with pytest.raises(CallRefused):
            select_file(fields, self.WHOLE)

    @pytest.mark.parametrize("fields", ["files(ids)", "files(id", "items", "files(id))"])
    def test_what_does_not_exist_on_a_page_is_refused(self, fields: str) -> None:
        with pytest.raises(CallRefused):
            select_list(fields, {"files": []})


class TestStore:
    def test_the_id_stays_when_the_content_is_replaced_and_the_rest_moves(
        self, store: Store, folder: File, clock: StillClock
    ) -> None:
        made = store.create("orders.xml", "text/xml", folder.file_id, b"a")
        before = made.metadata()
        clock.now += timedelta(seconds=1)
        store.replace(made, b"bcd")
        after = made.metadata()
        assert before["id"] == after["id"]
        for name in ("headRevisionId", "md5Checksum", "sha256Checksum", "version", "modifiedTime", "size"):
            assert before[name] != after[name], name
        assert (before["size"], after["size"]) == ("1", "3"), "64 bits travel as strings"
        assert (before["modifiedTime"], after["version"]) == ("2026-01-15T12:00:00.000Z", "2")

    def test_a_client_may_set_the_time_back(self, store: Store, folder: File) -> None:
        made = store.create("orders.xml", "text/xml", folder.file_id, b"a")
        store.replace(made, b"b", modified=NOON - timedelta(days=9))
        assert made.metadata()["modifiedTime"] == "2026-01-06T12:00:00.000Z"

    def test_what_has_no_bytes_has_neither_size_nor_checksum(self, folder: File) -> None:
        assert not folder.metadata().keys() & {"size", "md5Checksum", "headRevisionId"}

    def test_access_is_inherited_and_withdrawn_with_the_folder(self, store: Store, folder: File) -> None:
        below = store.create("deeper", FOLDER, folder.file_id, None)
        made = store.create("orders.xml", "text/xml", below.file_id, b"a")
        assert store.find(made.file_id, all_drives=False) is made
        folder.shared = False
        assert store.find(made.file_id, all_drives=False) is None

    def test_what_is_in_a_folder_in_the_trash_is_in_the_trash(self, store: Store, folder: File) -> None:
        made = store.create("orders.xml", "text/xml", folder.file_id, b"a")
        folder.trashed = True
        assert store.shown(made)["trashed"] is True

    def test_a_shared_drives_file_is_for_those_who_know_of_shared_drives(self, store: Store, folder: File) -> None:
        made = store.create("orders.xml", "text/xml", folder.file_id, b"a", drive_id="D")
        assert store.find(made.file_id, all_drives=False) is None
        assert store.find(made.file_id, all_drives=True) is made

    def test_a_lag_shows_what_was(self, store: Store, folder: File) -> None:
        made = store.create("orders.xml", "text/xml", folder.file_id, b"a")
        before = store.shown(made)
        store.lagging = True
        store.replace(made, b"b")
        late = store.create("late.xml", "text/xml", folder.file_id, b"a")
        assert (store.shown(made), store.shown(late)) == (before, {})
        store.lagging = False
        assert store.shown(made)["size"] == "1" and store.shown(made) != before and store.shown(late)


class TestListing:
    @pytest.fixture
    def five(self, store: Store, folder: File, clock: StillClock) -> None:
        for name in "bdaec":
            clock.now += timedelta(seconds=1)
            store.create(name, "text/xml", folder.file_id, name.encode())

    def names(self, page: dict[str, Any]) -> str:
        return "".join(file["name"] for file in page["files"])

    def test_pages_follow_by_their_tokens_and_the_last_has_none(self, lister: Lister, five: None) -> None:
        query = {"q": "mimeType = 'text/xml'", "orderBy": "name", "pageSize": "2"}
        first = lister.page(query)
        second = lister.page({**query, "pageToken": first["nextPageToken"]})
        third = lister.page({**query, "pageToken": second["nextPageToken"]})
        assert [self.names(page) for page in (first, second, third)] == ["ab", "cd", "e"]
        assert "nextPageToken" not in third

    def test_a_token_is_good_for_its_own_question_alone(self, lister: Lister, five: None) -> None:
        token = lister.page({"pageSize": "2"})["nextPageToken"]
        for other in ({"q": "trashed = false"}, {"orderBy": "name"}, {"supportsAllDrives": "true"}):
            with pytest.raises(CallRefused):
                lister.page({**other, "pageToken": token})
        with pytest.raises(CallRefused):
            lister.page({"pageToken": "mine"})

    def test_a_page_may_hold_less_than_was_asked_for_even_nothing(self, lister: Lister, five: None) -> None:
        lister.page_limit = 1
        assert len(lister.page({"pageSize": "1000"})["files"]) == 1
        lister.page_limit = 0
        page = lister.page({"pageSize": "1000"})
        assert (page["files"], "nextPageToken" in page) == ([], True)

    @pytest.mark.parametrize(
        "query", [{"pageSize": "0"}, {"pageSize": "x"}, {"orderBy": "colour"}, {"supportAllDrives": "true"}]
    )
    def test_bad_parameters_are_refused(self, lister: Lister, five: None, query: dict[str, str]) -> None:
        with pytest.raises(CallRefused) as refused:
            lister.page(query)
        assert refused.value.answer.status == 400

    def test_a_page_is_of_at_most_a_thousand(self, lister: Lister, store: Store, folder: File) -> None:
        for _ in range(1001):
            store.create("a", "text/xml", folder.file_id, b"")
        assert len(lister.page({"pageSize": "5000"})["files"]) == 1000

    def test_trashed_files_are_there_unless_the_query_says_otherwise(
        self, lister: Lister, store: Store, folder: File
    ) -> None:
        store.create("a", "text/xml", folder.file_id, b"").trashed = True
        here = f"'{folder.file_id}' in parents"
        assert self.names(lister.page({"q": here})) == "a"
        assert self.names(lister.page({"q": f"{here} and trashed = false"})) == ""

    def test_an_unshared_folder_is_empty_or_not_there(self, lister: Lister, folder: File, five: None) -> None:
        folder.shared = False
        query = {"q": f"'{folder.file_id}' in parents"}
        assert lister.page(query)["files"] == []
        lister.hides = False
        with pytest.raises(CallRefused) as refused:
            lister.page(query)
        assert refused.value.answer.status == 404


@pytest.mark.parametrize("text", [*Fault.KINDS, "403:reason=notFound,alt=media,times=2", "429:retry_after=7"])
def test_every_fault_can_be_ordered_by_its_text(text: str) -> None:
    assert Fault.parse(text).kind == text.partition(":")[0]


@pytest.mark.parametrize("text", ["sulk", "500:reason=x", "drop:seconds=2", "429:retry_after=soon"])
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Fault.parse(text)
