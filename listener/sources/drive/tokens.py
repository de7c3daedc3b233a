"""Access tokens for a service account, from google-auth: it signs and knows the protocol, the wire is ours.

Its own transports follow redirects with the assertion, wait without an end for a slow answer, and sleep between tries;
the one here does not. What a token endpoint answers is checked before google-auth reads it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from google.auth import transport
from google.auth.exceptions import GoogleAuthError
from google.oauth2.service_account import Credentials

from listener.errors import Rejected
from listener.http_limits import TooLong
from listener.sources.drive.answers import KeyRefused, Outage, check_token, token_refusal, without
from listener.sources.drive.key import ServiceAccountKey
from listener.sources.drive.web import Answer, Web

SCOPE = "https://www.googleapis.com/auth/drive.readonly"


class Tokens:
    """The tokens of one service account. `read_key` reads its key file again: a refused key may be replaced there."""

    def __init__(self, key: ServiceAccountKey, read_key: Callable[[], ServiceAccountKey], web: Web) -> None:
        """Raises Rejected when the key cannot sign."""
        self._read_key = read_key
        self._transport = _Transport(web)
        self._refused = False
        self._use(key)

    @property
    def email(self) -> str:
        """The address to share folders with."""
        return self._key.client_email

    def token(self) -> str:
        """Return a token that is good for some minutes yet. Raises Outage, KeyRefused."""
        if not self._credentials.valid:
            self.renew()
        return str(self._credentials.token)

    def renew(self) -> None:
        """Get another token, whatever the present one is said to be good for. Raises Outage, KeyRefused."""
        if self._refused:
            self._use_file()
        try:
            self._credentials.refresh(self._transport)  # type: ignore[no-untyped-call]
        except KeyRefused:
            self._refused = True
            raise
        except GoogleAuthError as error:
            raise Outage(f"there is no token: {type(error).__name__}") from error
        self._refused = False

    def _use_file(self) -> None:
        try:
            self._use(self._read_key())
        except Rejected as fault:
            raise KeyRefused(f"GOOGLE_APPLICATION_CREDENTIALS {fault}") from fault

    def _use(self, key: ServiceAccountKey) -> None:
        self._credentials = _credentials(key)
        self._key = key


def _credentials(key: ServiceAccountKey) -> Credentials:
    """Return google-auth's credentials, having signed something with them. Raises Rejected."""
    info = {
        "client_email": key.client_email,
        "private_key": key.private_key,
        "private_key_id": key.private_key_id,
        "token_uri": key.token_uri,
    }
    try:
        credentials: Credentials = Credentials.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-untyped-call]
        credentials.sign_bytes(b"")  # a key of another kind than RSA is read, and fails only here
    except Exception:  # whatever it is, it came of the key; and what is said of a key that cannot be read may quote it
        raise Rejected("names a key whose private_key cannot be used: download it again") from None
    return credentials


class _Transport(transport.Request):
    """What google-auth asks a token endpoint with. It raises our own errors, which google-auth lets pass."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: object = None,
        **_: Any,
    ) -> transport.Response:
        try:
            answer = self._web.ask(method, url, headers or {}, body)
        except TooLong as error:
            raise Outage("the token endpoint's answer is too long") from error
        if answer.status != 200:
            raise token_refusal(answer.status, without(answer.body, _signature(body)))
        check_token(answer.body)
        return _Response(answer)


def _signature(form: bytes | None) -> bytes:
    """Return the part of the assertion in a token request that makes it worth something."""
    return (form or b"").partition(b"assertion=")[2].partition(b"&")[0].rpartition(b".")[2]


class _Response(transport.Response):
    """An answer as google-auth reads it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def data(self) -> bytes:
        return self._answer.body
