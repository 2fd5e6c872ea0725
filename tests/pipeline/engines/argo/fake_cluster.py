"""A fake Kubernetes API server for one namespace: workflows, pods with logs, a ConfigMap and a Secret."""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/dpa-sse/workflows"
CORE = "/api/v1/namespaces/dpa-sse"


class FakeCluster:
    def __init__(self) -> None:
        self.workflows: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, tuple[str, str]] = {}  # node id -> (workflow, log)
        self.settings = {"endpoint": "127.0.0.1:1", "bucket": "dpa-sse", "secure": "false"}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(*fake.get(self.path))

            def do_POST(self) -> None:
                self.answer(201, fake.post(self.body()))

            def do_PATCH(self) -> None:
                name = self.path.rpartition("/")[2]
                fake.workflows[name]["spec"].update(self.body()["spec"])
                self.answer(200, fake.workflows[name])

            def do_PUT(self) -> None:
                fake.workflows[self.path.rpartition("/")[2]] = self.body()
                self.answer(200, {})

            def body(self) -> dict[str, Any]:
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, code: int, data: Any) -> None:
                content = data.encode() if isinstance(data, str) else json.dumps(data).encode()
                self.send_response(code)
                self.send_header("Content-Type", "text/plain" if isinstance(data, str) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kubeconfig(self, path: Path) -> Path:
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": address}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "users": [{"name": "fake", "user": {}}],
        }))
        return path

    def post(self, workflow: dict[str, Any]) -> dict[str, Any]:
        name = f"{workflow['metadata']['generateName']}{len(self.workflows):05d}"
        workflow["metadata"]["name"] = name
        self.workflows[name] = workflow
        return workflow

    def get(self, path: str) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        if path.startswith(WORKFLOWS):
            name = path.rpartition("/")[2]
            missing = {"message": f"workflows {name} not found"}
            return (200, self.workflows[name]) if name in self.workflows else (404, missing)
        if log := re.fullmatch(rf"{CORE}/pods/(.+)/log", path):
            return 200, self.pods[log[1]][1]
        if path == f"{CORE}/pods":
            return 200, {"kind": "PodList", "apiVersion": "v1", "items": [
                {"metadata": {"name": node, "annotations": {"workflows.argoproj.io/node-id": node}}}
                for node, (workflow, _) in self.pods.items() if workflow in query
            ]}
        if path == f"{CORE}/configmaps/dpa-sse-store":
            return 200, {"kind": "ConfigMap", "apiVersion": "v1", "data": self.settings}
        if path == f"{CORE}/secrets/dpa-sse-s3":
            data = {key: base64.b64encode(b"x").decode() for key in ("accesskey", "secretkey")}
            return 200, {"kind": "Secret", "apiVersion": "v1", "data": data}
        return 404, {"message": f"{path}: not found"}
