"""Workflows on a server: a small ComfyUI of a few lines, spoken to by the real client over real sockets."""

import base64
import hashlib
import json
import struct
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import articulate
import pytest
from articulate.models_hub.errors import ServerError, WorkflowError
from articulate.workflows.commands import main
from articulate.workflows.definitions import known_definitions
from articulate.workflows.remote.server import Server

PROMPT = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "나.png"}, "_meta": {"title": "Me"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}},
}


class FakeComfy(ThreadingHTTPServer):
    """Queues, tells its progress over a WebSocket, and serves what it made."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.uploads, self.queued, self.calls, self.listeners = [], [], [], []
        self.refuse = self.fail = self.silent = self.hang = False
        self.ready = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def work(self, prompt_id):
        if self.hang:
            self.ready.set()
            return
        self.tell(b"\x00\x00\x00\x01" + bytes(70_000), text=False)  # a preview, longer than a short frame
        self.tell_event("executing", node="1", prompt_id="someone else's")
        for kind, data in (
            ("execution_start", {}),
            ("execution_cached", {"nodes": ["1"]}),
            ("executing", {"node": "2"}),
            ("progress", {"node": "2", "value": 1, "max": 2}),
            ("execution_error" if self.fail else "execution_success", {}),
        ):
            if not self.silent:
                self.tell_event(kind, **data, prompt_id=prompt_id)
        self.ready.set()

    def tell_event(self, kind, **data):
        self.tell(json.dumps({"type": kind, "data": data}).encode())

    def tell(self, content, text=True):
        code = 0x81 if text else 0x82
        if len(content) < 126:
            head = bytes([code, len(content)])
        elif len(content) < 65536:
            head = bytes([code, 126]) + struct.pack(">H", len(content))
        else:
            head = bytes([code, 127]) + struct.pack(">Q", len(content))
        for listener in list(self.listeners):
            with suppress(OSError):  # it may just have gone
                listener.write(b"\x89\x02hi" + head + content)  # a ping before every message


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        path, question = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/ws":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                     f"Sec-WebSocket-Accept: {accept}", "", "")  # fmt: skip
            self.wfile.write("\r\n".join(lines).encode())
            self.wfile.flush()
            self.server.listeners.append(self.wfile)
            while self.rfile.read(1):
                pass
            self.server.listeners.remove(self.wfile)
        elif path == "/object_info":
            self.answer(known_definitions())
        elif path.startswith("/history/"):
            prompt_id = path.rpartition("/")[2]
            if not self.server.ready.is_set() or self.server.hang:
                return self.answer({})
            messages = [["execution_error", {"node_id": "2", "exception_message": "no face"}]] * self.server.fail
            outputs = {"2": {"images": [{"filename": "p_00001_.png", "subfolder": "", "type": "output"}]}}
            self.answer({prompt_id: {"status": {"messages": messages}, "outputs": outputs}})
        elif path == "/view":
            self.answer(b"content of " + question["filename"][0].encode())
        else:
            self.answer({}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append(self.path)
        if self.path == "/upload/image":
            self.server.uploads.append(body)
            return self.answer({"name": "나 (1).png", "subfolder": "", "type": "input"})
        if self.path == "/prompt":
            if self.server.refuse:
                problem = {"message": "Value not in list", "details": "image: no"}
                return self.answer({"error": {"message": "Prompt has errors"},
                                    "node_errors": {"1": {"errors": [problem]}}}, 400)  # fmt: skip
            self.server.queued.append(json.loads(body)["prompt"])
            self.answer({"prompt_id": "p1"})
            return threading.Thread(target=self.server.work, args=("p1",), daemon=True).start()
        self.answer(b"")


@pytest.fixture
def server():
    fake = FakeComfy()
    yield fake
    fake.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "나.png").write_bytes(b"a picture")
    (tmp_path / "it.json").write_text(json.dumps(PROMPT), encoding="utf-8")
    return tmp_path


def test_a_workflow_runs_there_and_its_files_come_here(server, folder):
    result = articulate.run("it.json", {"2.filename_prefix": "q"}, server=server.url, output_dir="out")
    assert [path.read_bytes() for path in result.files["2"]] == [b"content of p_00001_.png"]
    assert result.files["2"][0].parent == folder / "out"
    assert result.reused == ["1"] and set(result.seconds) == {"2"}
    assert b"a picture" in server.uploads[0] and 'filename="나.png"'.encode() in server.uploads[0]
    assert server.queued[0]["1"]["inputs"]["image"] == "나 (1).png"
    assert server.queued[0]["2"]["inputs"]["filename_prefix"] == "q"
    again = articulate.run("it.json", server=server.url, output_dir="out")
    assert again.files["2"][0].name == "p_00001_ (2).png"  # what was there stays


def test_a_server_that_says_nothing_is_asked(server, folder, monkeypatch):
    monkeypatch.setattr("articulate.workflows.remote.run._SILENCE", 0.2)
    server.silent = True
    assert articulate.run("it.json", server=server.url, output_dir="out").files["2"]


def test_the_command_gives_the_same_result(server, folder, capsys):
    assert main(["run", "it.json", "--server", server.url, "--output-dir", "out", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["outputs"]["2"]["files"][0]["bytes"] == len(b"content of p_00001_.png")


def test_reasons_of_a_refusal_are_told(server, folder, capsys):
    server.refuse = True
    assert main(["run", "it.json", "--server", server.url]) == 2
    assert "node 1 (Me): Value not in list: image: no" in capsys.readouterr().err


def test_a_node_that_fails_there_is_named(server, folder, capsys):
    server.fail = True
    assert main(["run", "it.json", "--server", server.url, "--output-dir", "out"]) == 1
    assert "SaveImage (node 2) failed on" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_ctrl_c_stops_the_prompt_there(server, folder, monkeypatch):
    server.hang = True
    monkeypatch.setattr("articulate.workflows.remote.run._SILENCE", 0.05)

    def history(self, prompt_id):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "history", history)
    assert main(["run", "it.json", "--server", server.url, "--quiet"]) == 130
    assert server.calls[-2:] == ["/queue", "/interrupt"]


def test_an_absent_server_gets_a_sentence(folder, capsys):
    assert main(["run", "it.json", "--server", "http://127.0.0.1:9"]) == 1
    assert "does not answer" in capsys.readouterr().err
    with pytest.raises(ServerError, match="not the address of a server"):
        Server("ftp://somewhere")


def test_an_output_cannot_leave_its_folder(server, folder, monkeypatch):
    monkeypatch.setattr("articulate.workflows.remote.run._outcome", lambda *_: {
        "2": {"images": [{"filename": "../../evil.png", "subfolder": "", "type": "output"}]}})  # fmt: skip
    with pytest.raises(ServerError, match="leads out of"):
        articulate.run("it.json", server=server.url, output_dir="out")


def test_a_copy_without_network_code_says_so(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "articulate.workflows.remote.run", None)
    with pytest.raises(WorkflowError, match="no network code"):
        articulate.run("it.json", server="http://127.0.0.1:8188")
