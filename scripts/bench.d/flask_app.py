"""A shop in Flask, served over keep-alive by one thread of waitress; every tenth order leaves a block: flask_app.py PORT_FILE

Its port is in PORT_FILE once it listens. `/stop` ends it.
"""
import os
import signal
import sys

import waitress
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


@app.route("/stop")
def stop():
    signal.raise_signal(signal.SIGINT)
    return "stopping"


def main(port_file):
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=1)
    with open(port_file + ".new", "w") as file:
        file.write(str(server.effective_port))
    os.rename(port_file + ".new", port_file)
    server.run()


main(sys.argv[1])
