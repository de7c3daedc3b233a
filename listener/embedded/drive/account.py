"""A service account: its key, the tokens it is given for a signed assertion, and who may call with them.

The token endpoint is real: the assertion's signature is checked against the key's public half, its times against the
clock. Its `aud` may name any endpoint: Google's library names Google's own, wherever the key file points.
Source: Google Identity, "Using OAuth 2.0 for Server to Server Applications"; RFC 7523. Not safe for threads.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import token_hex, token_urlsafe
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from listener.embedded.drive.calls import Answer, Call, JsonObject, error

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {
    "https://www.googleapis.com/auth/drive": True,
    "https://www.googleapis.com/auth/drive.readonly": True,
    "https://www.googleapis.com/auth/drive.metadata.readonly": False,
}
"""The scopes that let their holder list, and whether it may also download."""

SKEW = timedelta(minutes=5)
LONGEST = timedelta(hours=1)


def make_private_key() -> rsa.RSAPrivateKey:
    """Return a new key as Google makes them."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class BadAssertion(Exception):
    """No token is given; the text is the error_description."""


class ServiceAccount:
    """One account with one key at a time. `expires_in`: seconds for which its tokens are good."""

    def __init__(self, clock: Callable[[], datetime], private_key: rsa.RSAPrivateKey) -> None:
        self.email = "orders-reader@sample-shop.iam.gserviceaccount.com"
        self.expires_in = 3599
        self._clock = clock
        self._tokens: dict[str, tuple[datetime, str]] = {}
        self.change_key(private_key)

    def change_key(self, private_key: rsa.RSAPrivateKey) -> None:
        """Delete the key and make another: assertions that the old one signs are refused from now on."""
        self._private_key, self._key_id = private_key, token_hex(20)

    def key_file(self, token_uri: str) -> JsonObject:
        """Return the key as the console hands it out."""
        pem = self._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "sample-shop",
            "private_key_id": self._key_id,
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def expire_tokens(self) -> None:
        """Let every token run out now, whatever its holder was told."""
        self._tokens.clear()

    def grant(self, call: Call) -> Answer:
        """Answer the token endpoint."""
        form = parse_qs(call.body.decode("latin-1"))
        if call.method != "POST" or form.get("grant_type") != [GRANT] or len(form.get("assertion", [])) != 1:
            return Answer(400, {"error": "invalid_request", "error_description": "Bad Request"})
        try:
            scope = self._read(form["assertion"][0])
        except BadAssertion as refused:
            return Answer(400, {"error": "invalid_grant", "error_description": str(refused)})
        if not SCOPES.keys() & scope.split():
            return Answer(400, {"error": "invalid_scope", "error_description": f"Invalid OAuth scope: {scope}"})
        token = "ya29." + token_urlsafe(40)
        self._tokens[token] = (self._clock() + timedelta(seconds=self.expires_in), scope)
        return Answer(200, {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"})

    def refusal(self, call: Call) -> Answer | None:
        """Return why a call to the API may not go on, None if it may."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        until, scope = self._tokens.get(token, (None, ""))
        if kind != "Bearer" or until is None or until <= self._clock():
            where = {"locationType": "header", "location": "Authorization"}
            return error(401, "authError", "Invalid Credentials", **where)
        if call.method != "GET" or (call.downloads and not any(SCOPES.get(one) for one in scope.split())):
            return error(403, "insufficientPermissions", "The scopes of the token do not suffice.")
        return None

    def _read(self, assertion: str) -> str:
        """Return the scope that a signed assertion asks for."""
        head, claims, signature = self._parts(assertion)
        if head.get("alg") != "RS256" or head.get("kid") != self._key_id:
            raise BadAssertion("Invalid JWT Signature.")
        try:
            signed = assertion.rpartition(".")[0].encode()
            self._private_key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as bad:
            raise BadAssertion("Invalid JWT Signature.") from bad
        if claims.get("iss") != self.email:
            raise BadAssertion("Invalid grant: account not found")
        self._check_times(claims)
        return str(claims.get("scope", ""))

    def _parts(self, assertion: str) -> tuple[Any, Any, bytes]:
        try:
            head, claims, signature = (urlsafe_b64decode(part + "==") for part in assertion.split("."))
            return json.loads(head), json.loads(claims), signature
        except ValueError as bad:
            raise BadAssertion("Invalid JWT: it cannot be read.") from bad

    def _check_times(self, claims: JsonObject) -> None:
        now = self._clock().timestamp()
        issued, ends = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or not isinstance(ends, int):
            raise BadAssertion("Invalid JWT: iat and exp are missing.")
        skew, longest = SKEW.total_seconds(), LONGEST.total_seconds()
        if not (issued - skew <= now < ends + skew and ends - issued <= longest):
            raise BadAssertion("Invalid JWT: iat and exp are not within a reasonable timeframe.")
