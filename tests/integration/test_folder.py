"""A folder of order files, on a real file system: what counts as a file, and when it is whole."""

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from listener.errors import Rejected, Transient
from listener.sources import folder as folder_module
from listener.sources.folder import Folder
from listener.sources.source import Changed, Listing, SourceFile


class Clock:
    """Monotonic seconds that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> Folder:
    return Folder(tmp_path, clock)


def settled(folder: Folder, clock: Clock) -> tuple[SourceFile, ...]:
    """Return what is listed once everything has stood still."""
    folder.listing()
    clock.now += 1
    listing = folder.listing()
    assert listing.unsettled == ()
    return listing.files


def read(folder: Folder, file: SourceFile, size: int = 4) -> bytes:
    """Read a file to its end, a few bytes at a time."""
    with folder.open(file) as content:
        return b"".join(iter(lambda: content.read(size), b""))


def names(files: tuple[SourceFile, ...]) -> list[str]:
    return [file.name for file in files]


def test_xml_files_of_any_case_are_listed_by_name_and_nothing_else(
    folder: Folder, clock: Clock, tmp_path: Path
) -> None:
    for name in ("b.xml", "A.XML", "orders.Xml", ".hidden.xml", "orders.xml.part", "xml", "orders.csv"):
        (tmp_path / name).write_bytes(b"<orders/>")
    (tmp_path / "folder.xml").mkdir()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.xml").write_bytes(b"<orders/>")
    os.mkfifo(tmp_path / "pipe.xml")
    assert names(settled(folder, clock)) == ["A.XML", "b.xml", "orders.Xml"]
    assert folder.listing().unreadable == ()


def test_a_link_is_the_file_it_points_to_and_one_to_nowhere_is_named(
    folder: Folder, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"<orders/>")
    (tmp_path / "link.xml").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "nowhere.xml").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.xml").symlink_to(tmp_path / "loop.xml")
    (tmp_path / "folder.xml").symlink_to(tmp_path)
    (file,) = settled(folder, clock)
    assert (file.name, read(folder, file)) == ("link.xml", b"<orders/>")
    loop, nowhere = folder.listing().unreadable
    assert loop == ("loop.xml", os.strerror(errno.ELOOP))
    assert nowhere == ("nowhere.xml", "No such file or directory")


def test_a_file_counts_when_it_stood_still_for_a_second(folder: Folder, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<ord")
    assert folder.listing().unsettled == ("orders.xml",)
    clock.now += 0.9
    path.write_bytes(b"<orders/>")
    assert folder.listing().unsettled == ("orders.xml",)
    clock.now += 0.9
    assert folder.listing().unsettled == ("orders.xml",)
    clock.now += 0.1
    assert names(folder.listing().files) == ["orders.xml"]


def test_a_time_set_back_by_a_copy_does_not_hide_that_it_was_written(
    folder: Folder, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<orders/>")
    (before,) = settled(folder, clock)
    times = path.stat()
    path.write_bytes(b"<oRders/>")
    while path.stat().st_ctime_ns == times.st_ctime_ns:  # a file system's clock may tick some milliseconds apart
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (after,) = settled(folder, clock)
    assert after.revision != before.revision


def test_a_file_is_the_same_as_long_as_its_bytes_are(folder: Folder, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<orders/>")
    (before,) = settled(folder, clock)
    os.utime(path, (0, 0))
    assert settled(folder, clock) == (before,)
    (tmp_path / "new").write_bytes(b"<orders/>")
    (tmp_path / "new").replace(path)
    assert settled(folder, clock) == (before,)
    assert settled(Folder(tmp_path, clock), clock) == (before,)
    path.write_bytes(b"<orders />")
    assert settled(folder, clock) != (before,)


def test_a_folder_that_rests_is_not_read(
    folder: Folder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.xml").write_bytes(b"<orders/>")
    files = settled(folder, clock)
    monkeypatch.setattr(folder_module, "_open", lambda *_: pytest.fail("a file was opened"))
    assert folder.listing().files == files


def test_a_file_is_read_as_it_was_listed(folder: Folder, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "orders.xml").write_bytes(b"<orders/>")
    (file,) = settled(folder, clock)
    assert (file.size, read(folder, file)) == (9, b"<orders/>")


@pytest.mark.parametrize("content", [b"<oRders/>", b"<orders/>\n", b"<orders", b""])
def test_a_file_that_changed_since_it_was_listed_is_not_taken(
    folder: Folder, clock: Clock, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<orders/>")
    (file,) = settled(folder, clock)
    path.write_bytes(content)
    with pytest.raises(Changed, match=r"orders\.xml was changed while it was read"):
        read(folder, file)


def test_a_file_that_is_gone_may_come_back(folder: Folder, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<orders/>")
    (file,) = settled(folder, clock)
    path.unlink()
    with pytest.raises(Changed, match="No such file"):
        read(folder, file)
    assert folder.listing().files == ()
    path.write_bytes(b"<orders/>")
    assert settled(folder, clock) == (file,)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_any_more_is_not_waited_for(
    folder: Folder, clock: Clock, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "orders.xml"
    path.write_bytes(b"<orders/>")
    (file,) = settled(folder, clock)
    path.unlink()
    make(path)
    with pytest.raises(Changed, match=r"no file any more|Is a directory"):
        read(folder, file)
    assert folder.listing() == Listing()


def test_a_disk_that_fails_while_a_file_is_read_is_named_and_the_others_go_on(
    folder: Folder, clock: Clock, tmp_path: Path
) -> None:
    """Nobody may read a process's memory from its beginning: for once an I/O error that can be had."""
    broken = Path("/proc/self/mem")
    if not broken.exists():
        pytest.skip("this system has no /proc")
    (tmp_path / "broken.xml").symlink_to(broken)
    (tmp_path / "whole.xml").write_bytes(b"<orders/>")
    assert names(settled(folder, clock)) == ["whole.xml"]
    assert folder.listing().unreadable == (("broken.xml", "Input/output error"),)


def test_a_disk_that_fails_in_the_middle_of_a_file_is_not_the_end_of_the_file(
    folder: Folder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.xml").write_bytes(b"<orders/>")
    (file,) = settled(folder, clock)

    class Disk(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 8:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr(folder_module, "_open", lambda path: Disk(path.read_bytes()))
    with pytest.raises(Changed, match=r"orders\.xml cannot be read to its end: Input/output error"):
        read(folder, file)


class Entry:
    """A name in a folder on a network: asking about it fails."""

    def __init__(self, name: str, error: int, link: bool = False) -> None:
        self.name, self._error, self._link = name, error, link

    def stat(self) -> os.stat_result:
        raise OSError(self._error, os.strerror(self._error))

    def is_symlink(self) -> bool:
        return self._link


def test_a_file_that_cannot_be_looked_at_is_named_and_one_that_is_gone_is_not(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry("a.xml", errno.ENOENT), Entry("b.xml", errno.ESTALE), Entry("c\n.xml", errno.EIO)]
    monkeypatch.setattr(folder, "_order_files", lambda: entries)
    assert folder.listing() == Listing(
        unreadable=(("b.xml", os.strerror(errno.ESTALE)), ("c\\n.xml", "Input/output error"))
    )


def test_a_folder_whose_network_fails_is_an_outage(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(Transient, match=r"the folder .* cannot be read: Input/output error; see ORDER_SOURCE"):
        folder.listing()


def test_what_takes_long_to_look_into_is_left_for_the_next_look(
    folder: Folder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.xml", "b.xml", "c.xml"):
        (tmp_path / name).write_bytes(b"<orders/>")
    folder.listing()
    clock.now += 1
    open_file = folder_module._open

    def open_slowly(path: Path) -> object:
        clock.now += 0.6
        return open_file(path)

    monkeypatch.setattr(folder_module, "_open", open_slowly)
    first = folder.listing()
    assert (names(first.files), first.unsettled) == (["a.xml", "b.xml"], ("c.xml",))
    second = folder.listing()
    assert (names(second.files), second.unsettled) == (["a.xml", "b.xml", "c.xml"], ())


def test_a_file_that_could_not_be_read_does_not_stand_before_the_others(
    folder: Folder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_bytes(b"<orders/>")
    first, _ = settled(folder, clock)
    open_file = folder_module._open

    def open_broken_disk(path: Path) -> object:
        if path.name == "a.xml":
            raise OSError(5, "Input/output error")
        return open_file(path)

    monkeypatch.setattr(folder_module, "_open", open_broken_disk)
    with pytest.raises(Changed, match="Input/output error"):
        read(folder, first)
    assert names(settled(folder, clock)) == ["b.xml"]
    assert folder.listing().unreadable == (("a.xml", "Input/output error"),)


def test_a_file_that_is_too_large_is_listed_and_never_read(
    folder: Folder, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "LARGEST_FILE", 2**20)
    with (tmp_path / "orders.xml").open("wb") as sparse:
        sparse.truncate(3 * 2**20)
    monkeypatch.setattr(folder_module, "_open", lambda *_: pytest.fail("a file was opened"))
    (file,) = settled(folder, clock)
    with pytest.raises(Rejected, match="the file has 3 MB; at most 1 MB are read"):
        read(folder, file)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user whom file modes concern."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


def test_a_file_that_may_not_be_read_is_named_and_the_others_go_on(open_folder: Path, clock: Clock) -> None:
    for name in ("a.xml", "b.xml", "c.xml"):
        (open_folder / name).write_bytes(b"<orders/>")
    (open_folder / "b.xml").chmod(0)
    folder = Folder(open_folder, clock)
    with as_nobody():
        assert names(settled(folder, clock)) == ["a.xml", "c.xml"]
        assert folder.listing().unreadable == (("b.xml", "Permission denied"),)
    (open_folder / "b.xml").chmod(0o644)
    with as_nobody():
        assert names(settled(folder, clock)) == ["a.xml", "b.xml", "c.xml"]
        assert folder.listing().unreadable == ()


def test_a_name_that_cannot_be_shown_is_told_in_other_letters(folder: Folder, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a\nb.xml").write_bytes(b"<orders/>")
    (tmp_path / "c.xml").write_bytes(b"<orders/>")
    assert names(settled(folder, clock)) == ["c.xml"]
    reason = "its name has characters that cannot be shown; rename it"
    assert folder.listing().unreadable == (("a\\nb.xml", reason),)


def test_a_folder_that_is_missing_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(
        Transient, match=r"the folder .*/gone cannot be read: No such file or directory; see ORDER_SOURCE"
    ):
        Folder(tmp_path / "gone").listing()


def test_a_folder_that_is_a_file_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Transient, match="Not a directory"):
        Folder(tmp_path / "file").listing()


def test_a_folder_that_may_not_be_read_is_an_outage(open_folder: Path) -> None:
    open_folder.chmod(0)
    with as_nobody(), pytest.raises(Transient, match="Permission denied"):
        Folder(open_folder).listing()
    open_folder.chmod(0o755)


def test_a_folder_knows_itself_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Folder(Path("orders")).source == f"folder:{tmp_path}/orders"
