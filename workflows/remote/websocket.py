"""The little of WebSocket (RFC 6455) that following a ComfyUI's progress needs: a client that reads."""

import base64
import hashlib
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

from ...models_hub.errors import ServerError

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_LARGEST = 64 * 2**20


class WebSocket:
    """A connection to ws://... or wss://..., from which messages are received.

    Args:
        url: the address.
        timeout: seconds to wait for the connection.

    Raises:
        ServerError: nothing answers there, or it does not speak WebSocket.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout)
            if secure:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
            self._buffer = b""
            self._shake_hands(parts.path + ("?" + parts.query if parts.query else ""), f"{host}:{port}")
        except OSError as error:
            raise ServerError(f"No connection to {url} ({error}); check that ComfyUI runs there.") from error

    def _shake_hands(self, path: str, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        wanted = base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest())
        if b" 101 " not in head.split(b"\r\n")[0] or wanted not in head:
            raise ServerError(f"{host} answered {head.split(chr(13).encode())[0]!r} instead of opening a WebSocket.")

    def receive(self, timeout: float) -> tuple[bool, bytes] | None:
        """The next message as (is text, content); None if there is none within `timeout` seconds.

        Raises:
            ServerError: the connection was closed or broke.
        """
        kind, content = 0, b""
        try:
            while True:
                self._socket.settimeout(timeout)
                self._need(1)
                self._socket.settimeout(max(timeout, 10.0))  # once a frame has begun, the rest follows
                final, code, payload = self._frame()
                if code == _CLOSE:
                    raise ServerError("The server closed the connection; it may have been stopped.")
                if code == _PING:
                    self._send(_PONG, payload)
                elif code in (_TEXT, _BINARY, _CONTINUATION):
                    kind = code or kind
                    content += payload
                    if final:
                        return kind == _TEXT, content
        except TimeoutError:
            return None
        except OSError as error:
            raise ServerError(f"The connection to the server broke ({error}).") from error

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        if length > _LARGEST:
            raise ServerError(f"The server announced a message of {length} bytes, more than {_LARGEST}.")
        mask = self._take(4) if second & 0x80 else b""
        payload = self._take(length)
        if mask:
            payload = bytes(value ^ mask[place % 4] for place, value in enumerate(payload))
        return bool(first & 0x80), first & 0x0F, payload

    def _send(self, code: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(value ^ mask[place % 4] for place, value in enumerate(payload))
        self._socket.sendall(bytes([0x80 | code, 0x80 | len(payload)]) + mask + masked)  # control frames: up to 125

    def _need(self, count: int) -> None:
        while len(self._buffer) < count:
            self._fill()

    def _take(self, count: int) -> bytes:
        self._need(count)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _fill(self) -> None:
        received = self._socket.recv(1 << 16)
        if not received:
            raise ServerError("The server ended the connection; it may have been stopped.")
        self._buffer += received

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
