"""The HTTP interface of a ComfyUI: upload inputs, queue, look at results, fetch them, interrupt."""

import json
import mimetypes
import shutil
import uuid
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from ...models_hub.errors import ServerError, WorkflowError
from .websocket import WebSocket

TIMEOUT = 30.0


class Server:
    """A ComfyUI that runs somewhere.

    Args:
        address: such as http://127.0.0.1:8188.

    Raises:
        ServerError: the address is not one of a web server.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address if "//" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(f"{address!r} is not the address of a server; write it as http://127.0.0.1:8188.")
        self.base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.client = uuid.uuid4().hex

    def listen(self) -> WebSocket:
        """The connection on which the server says how far it is."""
        return WebSocket(f"ws{self.base[4:]}/ws?clientId={self.client}")

    def definitions(self) -> dict[str, Any]:
        """All nodes that this server knows."""
        return self._json("/object_info")

    def upload(self, path: Path) -> str:
        """Send a file to the input folder; returns the name that it has there.

        A file of that name with other content stays: the new one then gets a number.
        """
        boundary = uuid.uuid4().hex
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        name = path.name.replace('"', "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = self._json("/upload/image", body, headers)
        return "/".join(part for part in (answer.get("subfolder"), answer["name"]) if part)

    def queue(self, prompt: dict[str, Any]) -> str:
        """Queue a prompt; returns its id.

        Raises:
            WorkflowError: the server refuses it; the message holds every reason.
        """
        body = json.dumps({"prompt": prompt, "client_id": self.client}).encode()
        try:
            return self._json("/prompt", body, {"Content-Type": "application/json"}, refused=True)["prompt_id"]
        except _RefusedError as error:
            raise WorkflowError(_reasons(error.answer, prompt)) from error

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What has become of a prompt, or None while it is not finished."""
        return self._json(f"/history/{prompt_id}").get(prompt_id)

    def interrupt(self, prompt_id: str) -> None:
        """Stop a prompt, or take it out of the queue; others go on."""
        headers = {"Content-Type": "application/json"}
        self._open("/queue", json.dumps({"delete": [prompt_id]}).encode(), headers).close()
        self._open("/interrupt", json.dumps({"prompt_id": prompt_id}).encode(), headers).close()

    def fetch(self, entry: dict[str, str], path: Path) -> None:
        """Write an output file to `path`, whole or not at all."""
        question = {key: entry.get(key, "") for key in ("filename", "subfolder", "type")}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with self._open(f"/view?{urlencode(question)}") as answer, open(part, "wb") as file:
                shutil.copyfileobj(answer, file)
            part.replace(path)
        except OSError as error:
            raise ServerError(f"{path} could not be fetched from {self.base} ({error}); try again.") from error
        finally:
            part.unlink(missing_ok=True)

    def _json(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, refused: bool = False
    ) -> Any:
        with self._open(path, body, headers, refused) as answer:
            try:
                return json.load(answer)
            except ValueError as error:
                raise ServerError(f"{self.base}{path} did not answer as ComfyUI does; check the address.") from error

    def _open(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, refused: bool = False
    ) -> IO[bytes]:
        try:
            return urlopen(Request(self.base + path, body, headers or {}), timeout=TIMEOUT)
        except HTTPError as error:
            if refused and error.code == 400:
                raise _RefusedError(json.load(error)) from error
            raise ServerError(f"{self.base}{path} answered {error.code} {error.reason}; look at its log.") from error
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{self.base} does not answer ({reason}); check that ComfyUI runs there.") from error


class _RefusedError(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer))
        self.answer = answer


def _reasons(answer: dict[str, Any], prompt: dict[str, Any]) -> str:
    general = answer.get("error") or {}
    lines = [" ".join(filter(None, [general.get("message", "The workflow was refused"), general.get("details")]))]
    for node, problems in (answer.get("node_errors") or {}).items():
        title = (prompt.get(node, {}).get("_meta") or {}).get("title") or prompt.get(node, {}).get("class_type", "?")
        for problem in problems.get("errors", []):
            lines.append(f"  - node {node} ({title}): {problem.get('message')}: {problem.get('details')}")
    return "The server refuses the workflow: " + "\n".join(lines)
