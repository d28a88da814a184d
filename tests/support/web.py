"""A local web server for a folder, which can be made to fail."""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect, perhaps long after their test, whose error another test would see."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """Serves a folder within a `with` block, with listings and byte ranges of files.

    Attributes:
        url: of the folder.
        asked: path -> number of GET requests for it.
        fails: function (path, number of requests for it so far) -> an error status, "drop" (no answer), "cut" (half of
            the file), or None to answer properly.
    """

    def __init__(self, folder: Path, fails: Callable[[str, int], Any] = lambda *_: None, parts: bool = True) -> None:
        self.asked: Counter[str] = Counter()
        self.fails = fails
        self._server = _Quiet(("127.0.0.1", 0), _handler(folder, self, parts))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(folder: Path, server: Server, parts: bool) -> type[SimpleHTTPRequestHandler]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(self.path).strip("/")
            server.asked[path] += 1
            failure = server.fails(path, server.asked[path])
            if isinstance(failure, int):
                self.send_error(failure)
            elif failure == "drop":
                self.close_connection = True
            elif (folder / path).is_file():
                self._send((folder / path).read_bytes(), cut=failure == "cut")
            else:
                super().do_GET()

        def _send(self, content: bytes, cut: bool) -> None:
            total, asked = len(content), self.headers.get("Range")
            if asked and parts:
                first, last = map(int, asked.removeprefix("bytes=").split("-"))
                content = content[first : last + 1]
            self.send_response(206 if asked and parts else 200)
            self.send_header("Content-Length", str(len(content)))
            if asked and parts:
                self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)

    return Handler
