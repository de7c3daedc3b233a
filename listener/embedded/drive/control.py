"""The simulator's own HTTP calls under /_simulator/, for a driver in another process.

They need no token, fall under no fault, and never show among the calls that Drive has received.
"""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from listener.embedded import control as common
from listener.embedded.drive.calls import Answer, Call
from listener.embedded.drive.user import TEXT_XML

if TYPE_CHECKING:
    from listener.embedded.drive import DriveSimulator

PREFIX = "/_simulator/"

Control = Callable[["DriveSimulator", Call, str], Any]


def control(simulator: "DriveSimulator", call: Call) -> Answer:
    """Carry out a control call; a bad body is a 400 with one sentence."""
    for (method, path), act in CONTROLS.items():
        match = re.fullmatch(path, call.path)
        if match and call.method == method:
            try:
                return Answer(200, act(simulator, call, match[1] if match.re.groups else ""))
            except ValueError as error:
                return Answer(400, {"error": str(error)})
            except KeyError as error:
                return Answer(404, {"error": f"there is no file {error}"})
    known = ", ".join(f"{method} {path.replace('([^/]+)', 'ID')}" for method, path in CONTROLS)
    return Answer(404, {"error": f"there is {known}"})


def _files(simulator: "DriveSimulator", _call: Call, _id: str) -> Any:
    return {"folder": simulator.folder_id, "files": simulator.user.files()}


def _upload(simulator: "DriveSimulator", call: Call, _id: str) -> Any:
    name, mime_type = call.query.get("name", "orders.xml"), call.query.get("mimeType", TEXT_XML)
    return {"id": simulator.user.upload(call.body, name, mime_type, call.query.get("folder", ""))}


def _replace(simulator: "DriveSimulator", call: Call, file_id: str) -> Any:
    simulator.user.replace(file_id, call.body)
    return {"id": file_id}


def _act(name: str) -> Control:
    def act(simulator: "DriveSimulator", _call: Call, file_id: str) -> Any:
        getattr(simulator.user, name)(file_id)
        return {"id": file_id or simulator.folder_id}

    return act


def _expire_tokens(simulator: "DriveSimulator", _call: Call, _id: str) -> Any:
    simulator.expire_tokens()
    return {}


def _requests(simulator: "DriveSimulator", _call: Call, _id: str) -> Any:
    return common.requests(simulator)


def _faults(simulator: "DriveSimulator", _call: Call, _id: str) -> Any:
    return common.faults(simulator)


def _add_faults(simulator: "DriveSimulator", call: Call, _id: str) -> Any:
    return common.add_faults(simulator, json.loads(call.body))


def _clear_faults(simulator: "DriveSimulator", _call: Call, _id: str) -> Any:
    return common.clear_faults(simulator)


FILE = "/_simulator/files/([^/]+)"
CONTROLS: dict[tuple[str, str], Control] = {
    ("GET", "/_simulator/files"): _files,
    ("POST", "/_simulator/files"): _upload,
    ("PUT", FILE): _replace,
    ("DELETE", FILE): _act("delete"),
    ("POST", FILE + "/trash"): _act("trash"),
    ("POST", FILE + "/untrash"): _act("untrash"),
    ("POST", "/_simulator/share"): _act("share"),
    ("POST", "/_simulator/unshare"): _act("unshare"),
    ("POST", "/_simulator/expire_tokens"): _expire_tokens,
    ("GET", "/_simulator/requests"): _requests,
    ("GET", "/_simulator/faults"): _faults,
    ("POST", "/_simulator/faults"): _add_faults,
    ("DELETE", "/_simulator/faults"): _clear_faults,
}
