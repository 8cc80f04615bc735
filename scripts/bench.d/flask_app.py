"""A shop in Flask that serves one connection and ends with it; every tenth order leaves a block behind: flask_app.py PORT_FILE

Its port is in PORT_FILE once it listens. It has one thread, so that every run does the same.
"""
import os
import sys
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, make_server

from flask import Flask, jsonify, render_template_string, request

PAGE = """<h1>{{ title }}</h1><ul>
{% for item in items %}<li class="{{ loop.cycle('odd', 'even') }}">{{ item.name|upper }}: {{ '%.2f'|format(item.price) }}
{% endfor %}</ul>"""
KEPT = []
app = Flask(__name__)


def items(count):
    return [{"id": i, "name": f"item {i}", "price": i * 1.25, "tags": ["a%d" % i, "b"]} for i in range(count)]


def keep_one():
    return bytes(5000)


@app.route("/page/<int:number>")
def page(number):
    return render_template_string(PAGE, title=f"Page {number}", items=items(20))


@app.route("/items")
def listing():
    found = [item for item in items(100) if request.args.get("q", "") in item["name"]]
    return jsonify(count=len(found), items=found[:30])


@app.route("/orders", methods=["POST"])
def order():
    wanted = request.get_json()
    if wanted["number"] % 10 == 0:
        KEPT.append(keep_one())
    return jsonify(ok=True, total=sum(line["price"] * line["count"] for line in wanted["lines"]))


class Connection(WSGIRequestHandler):
    """Every request of a connection, not only its first."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self):
        self.close_connection = False
        while not self.close_connection:
            super().handle()

    def log_message(self, *_):
        pass


def main(port_file):
    ServerHandler.http_version = "1.1"
    with make_server("127.0.0.1", 0, app, handler_class=Connection) as server:
        with open(port_file + ".new", "w") as file:
            file.write(str(server.server_port))
        os.rename(port_file + ".new", port_file)
        server.handle_request()


main(sys.argv[1])
