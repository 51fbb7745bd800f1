"""The key of the Materials Project is in no file, message or list of processes that a run leaves or shows."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from pymatgen.core import Lattice, Structure

from tests.support.workflow import snakemake

TARGET = "results/data/structures.parquet"
KEY = "Xq7VsecretZk3" + "k" * 19


class Server(ThreadingHTTPServer):
    """As much of the Materials Project as a download of one crystal needs; it quotes the key where it refuses."""

    refuses = False
    asked: set[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        status, answer = 200, {"db_version": "2025.09.25", "version": "0.87.3", "access_controlled_batch_ids": []}
        if self.path != "/heartbeat":
            key = self.headers["x-api-key"]
            self.server.asked.add(key)
            crystal = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
            document = {"material_id": "mp-1", "structure": crystal.as_dict()}
            answer = {"data": [document], "meta": {"total_doc": 1}}
            if self.server.refuses:
                status, answer = 403, {"detail": f"the key {key} is not known"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("MP_API_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def where_the_key_is(folder: Path) -> list[str]:
    """Files under a folder that hold the key, Snakemake's own among them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += gzip.decompress(content) if path.suffix == ".gz" else b""
            if KEY.encode() in content or KEY in str(path):
                found.append(str(path))
    return found


def run(folder: Path, source: str) -> tuple[int, str, list[list[str]]]:
    """Exit status and output of a run that tells all it can, and the command lines with the key meanwhile."""
    shown: list[list[str]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
            shown.extend(command for command in commands if any(KEY in word for word in command))

    thread = threading.Thread(target=watch)
    thread.start()
    done = snakemake(folder, TARGET, "--verbose", "--printshellcmds", config={"data": {"source": source}})
    over.set()
    thread.join()
    return done.returncode, done.stdout + done.stderr, shown


@pytest.mark.parametrize("refuses", [False, True])
def test_a_download_does_not_show_the_key(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)
    server.refuses = refuses
    status, told, shown = run(tmp_path, "mp")
    assert server.asked == {KEY}
    assert status == int(refuses), told
    assert KEY not in told
    assert ("the key $MP_API_KEY is not known" in told) == refuses
    assert shown == []
    assert where_the_key_is(tmp_path) == []


def test_a_run_without_a_download_does_not_show_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)
    status, told, shown = run(tmp_path, "aflow")
    assert status == 0, told
    assert KEY not in told
    assert shown == []
    assert where_the_key_is(tmp_path) == []
