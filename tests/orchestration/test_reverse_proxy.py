"""The example of nginx before Dagster's web server lets in who belongs there, and nothing else."""

import base64
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from engine.config.loader import ROOT
from tests.real.test_tryton import free_port

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(
    NGINX is None or OPENSSL is None, reason="no nginx or openssl here: apt-get install nginx-light openssl"
)
CERTIFICATE = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=dagster "
    "-addext subjectAltName=IP:127.0.0.1 -keyout {folder}/dagster.key -out {folder}/dagster.crt"
)
Ask = Callable[[str, str, dict[str, str]], int]
EXAMPLE = ROOT / "docs" / "nginx" / "dagster.conf"
MAIN = """
pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off; worker_processes 1; {user}
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {example}
}}
"""
OURS = {"Host": "dagster.example.com"}
ORIGIN = {"Origin": "https://dagster.example.com"}
FOREIGN = {"Origin": "https://evil.example"}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"eva:secret").decode()}


class Dagster(BaseHTTPRequestHandler):
    """Answer whatever comes through."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Run nginx by the example, with ports and files of the test's own; give what asks it."""
    folder = tmp_path_factory.mktemp("nginx")
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Dagster)
    Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    (folder / "dagster.htpasswd").write_text("eva:{PLAIN}secret\n")
    (folder / "dagster.htpasswd").chmod(0o644)
    folder.chmod(0o755)
    subprocess.run([str(OPENSSL), *CERTIFICATE.format(folder=folder).split()], check=True, capture_output=True)
    example = EXAMPLE.read_text("utf-8").replace("127.0.0.1:8443", f"127.0.0.1:{port}")
    example = example.replace("127.0.0.1:3000", f"127.0.0.1:{upstream.server_port}")
    example = example.replace("/etc/nginx/dagster.", f"{folder}/dagster.")
    user = "user root;" if os.getuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(MAIN.format(folder=folder, example=example, user=user), "utf-8")
    server = subprocess.Popen([str(NGINX), "-c", config, "-p", folder, "-e", folder / "error.log"])
    try:
        with requests.Session() as session:
            session.verify, session.trust_env = str(folder / "dagster.crt"), False
            session.mount("https://", HTTPAdapter(max_retries=Retry(connect=12, backoff_factor=0.02)))

            def ask(method: str, path: str, headers: dict[str, str]) -> int:
                sent = session.prepare_request(requests.Request(method, "https://127.0.0.1", headers=headers))
                sent.url = f"https://127.0.0.1:{port}{path}"  # as it is spelt
                return session.send(sent, verify=session.verify, timeout=20).status_code

            yield ask
    finally:
        server.terminate()
        server.wait(20)
        upstream.shutdown()
        upstream.server_close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/graphql", OURS | ORIGIN | LOGIN, 200),
        ("POST", "/graphql", OURS | LOGIN, 200),
        ("GET", "/runs", OURS | LOGIN, 200),
        ("GET", "/graphql", OURS | ORIGIN | LOGIN | UPGRADE, 200),
        # the mutation by GET, however it is spelt
        ("GET", "/graphql?query=mutation", OURS | LOGIN, 405),
        ("GET", "/graphql?query=mutation", OURS | LOGIN | ORIGIN, 405),
        ("GET", "/graphql/?query=mutation", OURS | LOGIN, 405),
        ("GET", "/%67raphql?query=mutation", OURS | LOGIN, 405),
        ("GET", "//graphql?query=mutation", OURS | LOGIN, 405),
        ("HEAD", "/graphql?query=mutation", OURS | LOGIN, 405),
        ("GET", "/graphql?query=mutation", OURS | LOGIN | FOREIGN, 403),
        # another page, and a frame without an origin
        ("POST", "/graphql", OURS | LOGIN | FOREIGN, 403),
        ("POST", "/graphql", OURS | LOGIN | {"Origin": "null"}, 403),
        ("POST", "/graphql", OURS | LOGIN | {"Origin": "https://dagster.example.com.evil.example"}, 403),
        ("GET", "/graphql", OURS | LOGIN | FOREIGN | UPGRADE, 403),
        ("POST", "/report_asset_materialization/x", OURS | LOGIN | FOREIGN, 403),
        # another name for this machine
        ("POST", "/graphql", {"Host": "evil.example"} | LOGIN, 403),
        ("GET", "/runs", {"Host": "127.0.0.1"} | LOGIN, 403),
        # nobody
        ("GET", "/runs", OURS, 401),
        ("POST", "/graphql", OURS | ORIGIN, 401),
    ],
)
def test_what_comes_through(proxy: Ask, method: str, path: str, headers: dict[str, str], status: int):
    assert proxy(method, path, headers) == status


def test_it_listens_on_this_machine_only():
    listens = [line.split()[1] for line in EXAMPLE.read_text("utf-8").splitlines() if line.strip().startswith("listen")]
    assert listens
    assert all(one.startswith("127.0.0.1:") for one in listens)
