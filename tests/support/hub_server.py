"""A local stand-in for the Hub, with as much of its API as a push of files needs."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_secret"


class Hub:
    """The `files` of each repository and the paths `asked` for; paths that match `refuse` are answered with 403."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuse = "nothing"
        self.url = ""

    def answer(self, path: str, body: bytes, token: str | None) -> tuple[int, object]:
        self.asked.append(path)
        if token != f"Bearer {TOKEN}" and not path.startswith("/upload/"):
            return 401, {"error": "Invalid credentials"}
        if re.search(self.refuse, path):
            return 403, {"error": "You may not"}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = name in self.files
            self.files.setdefault(name, {})
            return (409 if there else 200), {"url": f"{self.url}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/preupload/main"):
            files = [each["path"] for each in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
            return 200, {"files": [{"path": k, "uploadMode": v, "shouldIgnore": False} for k, v in modes.items()]}
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for each in objects:
                each["actions"] = {"upload": {"href": f"{self.url}/upload/{each['oid']}"}}
            return 200, {"transfer": "basic", "objects": objects}
        if path.startswith("/upload/"):
            self.objects[path.removeprefix("/upload/")] = body
            return 200, {}
        repo = re.fullmatch(r"/api/models/(.+)/commit/main", path)[1]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[repo][value["path"]] = self.objects[value["oid"]]
        return 200, {"commitUrl": f"{self.url}/{repo}/commit/1", "commitOid": "1", "pullRequestUrl": None}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Run the stand-in on a free port."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length")
            body = self.rfile.read(int(length)) if length else b"".join(self._chunks())
            status, said = hub.answer(self.path.split("?")[0], body, self.headers.get("Authorization"))
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header(
                "Content-Type", "application/vnd.git-lfs+json" if "lfs" in self.path else "application/json"
            )
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_PUT = do_POST  # noqa: N815

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        server.shutdown()
