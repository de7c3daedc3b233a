"""A Google Drive that runs here: one shared folder in memory, a real token endpoint, over HTTP on loopback.

One call's way: control or call → log → faults before → token → rules → faults after → answer.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric import rsa

from listener.embedded.drive.account import ServiceAccount, make_private_key
from listener.embedded.drive.calls import TOKEN_PATH, Answer, Call
from listener.embedded.drive.control import PREFIX, control
from listener.embedded.drive.fault import Fault
from listener.embedded.drive.faults import Faults
from listener.embedded.drive.listing import Lister
from listener.embedded.drive.routes import answer as answer_call
from listener.embedded.drive.store import FOLDER, Store
from listener.embedded.drive.user import DriveUser
from listener.embedded.faults import ConnectionDropped
from listener.embedded.loopback import RawRequest, Reply, encode_reply
from listener.embedded.simulator import Request, Simulator

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present as an aware instant: the simulator's clock unless a test sets its own."""
    return datetime.now(UTC)


class DriveSimulator(Simulator[Fault, Request]):
    """`url` is what DRIVE_BASE_URL is to be, `folder_id` the folder that is shared with the service account.

    Bodies of calls are not logged: a token request holds a signed assertion.
    """

    fault = Fault
    _faults: Faults

    def __init__(self, *, port: int = 0, private_key: rsa.RSAPrivateKey | None = None, clock: Clock = utc_now) -> None:
        super().__init__(port, Faults())
        self.clock = clock
        self._account = ServiceAccount(self._now, private_key or make_private_key())
        self._store = Store(self._now)
        self._lister = Lister(self._store)
        self.folder_id = self._store.create("orders", FOLDER, "", None).file_id
        self.user = DriveUser(self._store, self._lister, self.folder_id, self._changed)
        self.user.share()

    def _now(self) -> datetime:
        return self.clock()  # looked up at each use: a test may put another in its place

    @property
    def service_account(self) -> str:
        """The address that folders are shared with."""
        return self._account.email

    def write_key(self, path: Path) -> Path:
        """Write the service account's key file, for GOOGLE_APPLICATION_CREDENTIALS; the simulator has been started."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(self._account.key_file(self.url + TOKEN_PATH), indent=2))
        return path

    def environment(self, key: Path) -> dict[str, str]:
        """Return what a listener needs to read this folder; the key is written to a file of that name."""
        return {
            "ORDER_SOURCE": f"drive:{self.folder_id}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.write_key(key)),
            "DRIVE_BASE_URL": self.url,
        }

    def expire_tokens(self) -> None:
        """Let every token run out now, though its holder was told a later time."""
        with self._changed:
            self._account.expire_tokens()

    def give_tokens_for(self, seconds: int) -> None:
        """Let tokens be good for so many seconds from now on."""
        with self._changed:
            self._account.expires_in = seconds

    def change_key(self) -> None:
        """Delete the service account's key and make another, which `write_key` writes."""
        with self._changed:
            self._account.change_key(make_private_key())
            self._account.expire_tokens()

    def downloads(self, file_id: str) -> int:
        """Return how many calls have asked for this file's bytes."""
        paths = [request.path for request in self.requests if request.query.get("alt") == "media"]
        return sum(path.endswith(f"/{file_id}") for path in paths)

    # One call

    def _reply(self, raw: RawRequest) -> Reply:
        path, _, query = raw.target.partition("?")
        call = Call(raw.method, path, dict(parse_qsl(query, keep_blank_values=True)), raw.headers, raw.body)
        if path.startswith(PREFIX):
            return _encode(control(self, call))
        request = Request(raw.received_at, raw.received_monotonic, call.method, call.path, call.query, None)
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        try:
            answer = self._answer(call)
        except ConnectionDropped:
            self._settle(request, None)
            return Reply(close=True)
        self._settle(request, answer.status)
        return _encode(answer)

    def _answer(self, call: Call) -> Answer:
        answer = self._faults.before(call)
        if answer is None:
            with self._changed:
                answer = self._carry_out(call)
        return self._faults.after(call, answer)

    def _carry_out(self, call: Call) -> Answer:
        if call.path == TOKEN_PATH:
            return self._account.grant(call)
        return self._account.refusal(call) or answer_call(self._store, self._lister, call)


def _encode(answer: Answer) -> Reply:
    body = answer.body
    if not isinstance(body, bytes):
        answer = replace(answer, body=(body := json.dumps(body, indent=1).encode()))
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return encode_reply(answer.status, headers, body, cut=answer.cut)
