"""A Hub on this machine, spoken to by the real huggingface_hub client in programs of their own.

The client reads its settings when it is imported, so every question is asked by a fresh Python. Another one than that
of the tests, with another version of huggingface_hub, can be named by ARTICULATE_TEST_PYTHON.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
REPOSITORY = re.compile(
    r"/(?:api/models/)?([\w.-]+/[\w.-]+?)(?:\.git)?/(resolve|revision|tree|preupload|commit|info)/(.+)"
)


def digest_of(name: str, content: bytes) -> str:
    """The Hub's ETag: sha256 of weights, git's digest of small files."""
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked."""

    address: str = ""
    commits: dict = field(default_factory=dict)  # repository -> {commit: {file: content}}
    refs: dict = field(default_factory=dict)  # repository -> {branch: commit}
    asked: list = field(default_factory=list)  # (method, path, Range header)
    uploads: dict = field(default_factory=dict)
    refuse: tuple = ()  # (status, X-Error-Code) for every question
    refuse_get: int = 0  # status of downloads alone
    cut_after: int = 0  # bytes after which the connection ends, once
    damage: bool = False  # one bit of what is sent is wrong
    chunk_seconds: float = 0.0  # pause after each 64 kB
    sent: int = 0

    def put(self, repository: str, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit that has exactly these files."""
        listed = sorted((name, digest_of(name, content)) for name, content in files.items())
        commit = hashlib.sha1(json.dumps([listed, len(self.commits.get(repository, {}))]).encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = dict(files)
        self.refs.setdefault(repository, {})[branch] = commit
        return commit

    def gets(self) -> list:
        """Downloads that were asked for."""
        return [entry for entry in self.asked if entry[0] == "GET" and "/resolve/" in entry[1]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def reply(self, status, content=b"", **headers):
        if not isinstance(content, bytes):
            content, headers["Content-Type"] = json.dumps(content).encode(), "application/json"
        self.send_response(status)
        for name, value in ({"Content-Length": len(content)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self, code):
        self.reply(404, b"", X_Error_Code=code)

    def answer(self):
        hub = self.hub
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self.read_chunks()
        if hub.refuse:
            status, code = hub.refuse
            return self.reply(status, b"", **({"X_Error_Code": code} if code else {}))
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = "/".join(part for part in (wanted.get("organization") or "me", wanted["name"]) if part)
            hub.commits.setdefault(name, {})
            if name in hub.refs:
                return self.reply(409, {"error": "it exists", "url": f"{hub.address}/{name}"})
            hub.put(name, {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
            return self.reply(200, {"url": f"{hub.address}/{name}", "name": name, "id": name})
        if self.path.startswith("/api/whoami-v2"):
            return self.reply(200, {"name": "me", "type": "user", "orgs": [], "auth": {}})
        if self.path == "/api/validate-yaml":  # of model cards
            return self.reply(200, {"errors": [], "warnings": []})
        if self.path.startswith("/upload/"):
            hub.uploads[self.path.rsplit("/", 1)[1]] = body
            return self.reply(200, b"")
        found = REPOSITORY.fullmatch(self.path.split("?")[0])
        if not found or found[1] not in hub.refs:
            return self.missing("RepoNotFound")
        repository, action, rest = found.groups()
        if action == "info":
            return self.reply(200, self.batch(json.loads(body)), Content_Type="application/vnd.git-lfs+json")
        revision, _, name = rest.partition("/")
        revision = revision.replace("%2F", "/")
        commit = hub.refs[repository].get(revision, revision)
        if commit not in hub.commits[repository]:
            return self.missing("RevisionNotFound")
        if action == "preupload":
            wanted = json.loads(body)["files"]
            lfs = [file["path"].endswith(".safetensors") for file in wanted]
            modes = [
                {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None}
                for file, large in zip(wanted, lfs, strict=True)
            ]
            return self.reply(200, {"files": modes})
        if action == "commit":
            return self.commit(repository, revision, commit, body)
        files = hub.commits[repository][commit]
        if action == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self.reply(200, {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings})
        if action == "tree":
            listed = [
                {"type": "file", "path": file, "size": len(content), "oid": digest_of(file, content)}
                for file, content in files.items()
            ]
            return self.reply(200, listed)
        if name not in files:
            return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        return self.send_file(name, files[name], commit)

    def send_file(self, name, content, commit):
        hub = self.hub
        facts = {"ETag": f'"{digest_of(name, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if self.command == "GET" and hub.refuse_get:
            return self.reply(hub.refuse_get, b"")
        if hub.damage:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "bytes=0-")
        first = int(start[1])
        part = content[first:]
        self.send_response(206 if first else 200)
        if first:
            facts["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        for key, value in (facts | {"Content-Length": len(part)}).items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return None
        stop = len(part)
        if hub.cut_after:
            stop, hub.cut_after = hub.cut_after, 0
            self.close_connection = True
        for place in range(0, stop, 65536):
            self.wfile.write(part[place : min(place + 65536, stop)])
            hub.sent += 65536
            time.sleep(hub.chunk_seconds)
        return None

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def batch(self, wanted):
        objects = []
        for entry in wanted["objects"]:
            upload = {"href": f"{self.hub.address}/upload/{entry['oid']}", "header": {}}
            known = {} if entry["oid"] in self.hub.uploads else {"actions": {"upload": upload}}
            objects.append({"oid": entry["oid"], "size": entry["size"], **known})
        return {"transfer": "basic", "objects": objects}

    def commit(self, repository, branch, parent, body):
        files = dict(self.hub.commits[repository][parent])
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    content = self.hub.uploads[value["oid"]]
                    assert hashlib.sha256(content).hexdigest() == value["oid"]
                    files[value["path"]] = content
                case "deletedFile":
                    files.pop(value["path"], None)
        commit = self.hub.put(repository, files, branch)
        url = f"{self.hub.address}/{repository}/commit/{commit}"
        self.reply(200, {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


@pytest.fixture
def hub():
    """An empty Hub."""
    here = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Handler,), {"hub": here}))
    server.handle_error = lambda *_: None  # clients that were killed
    server.daemon_threads = True
    here.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()


@dataclass
class Client:
    """Asks for weights in programs of their own, with a cache of their own."""

    hub: Hub
    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "hf" / "hub"

    def environment(self, **settings: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        mine = {
            "HF_ENDPOINT": self.hub.address,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "ARTICULATE_MODELS": str(self.folder / "models"),
            "NO_PROXY": "127.0.0.1",
        }
        return kept | mine | settings

    def start(self, **question) -> subprocess.Popen:
        """A program that answers a question (see child.py)."""
        settings = question.pop("settings", {})
        return subprocess.Popen(
            [os.environ.get("ARTICULATE_TEST_PYTHON", sys.executable), str(CHILD), json.dumps(question)],
            env=self.environment(**settings),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, choice: str, stage: str = "warper", **question) -> dict:
        """What finding a choice of weights gives: {"path"} or {"error", "kind"}, and {"seconds", "told"}."""
        program = self.start(choice=choice, stage=stage, **question)
        out, err = program.communicate(timeout=60)
        assert out.startswith("{"), err
        return json.loads(out)

    def files(self) -> list[Path]:
        """All that lies in the cache, but locks and links."""
        kinds = (path for path in self.cache.rglob("*") if path.is_file() and not path.is_symlink())
        return [path for path in kinds if path.parent.name == "blobs"]


@pytest.fixture
def client(hub, tmp_path):
    """A user with an empty cache."""
    here = Client(hub, tmp_path / "사용자")
    here.folder.mkdir()
    with suppress(OSError):
        yield here
