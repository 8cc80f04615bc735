"""requests: a session, its pool of connections, cookies and redirects, against a server in another thread.
"""
# python: 3.11
# bounded: requests==2.32.3
import http.server
import threading

import requests

REQUESTS = 2_000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        moved = self.path == "/old"
        self.send_response(302 if moved else 200)
        self.send_header("Set-Cookie", "session=abc; Path=/")
        self.send_header("Location", "/new")
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"a": "bc"}')

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()


def request():
    session.get(f"http://127.0.0.1:{server.server_port}/old").json()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
