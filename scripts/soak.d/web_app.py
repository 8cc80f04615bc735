"""A web service that keeps nothing: every request frees what it takes, so whatever grows is not the application's.

Its answers depend on the request alone, so that two instances can be compared. Templates, JSON, signed cookies, a database,
an exception, a thread and a child process: what services do.
"""
import hashlib
import re
import sqlite3
import subprocess
import threading
import zlib

from flask import Flask, abort, jsonify, render_template_string, request, session

PAGE = """<h1>{{ title }}</h1><ul>
{% for item in items %}<li class="{{ loop.cycle('odd', 'even') }}">{{ item.name|upper }}: {{ '%.2f'|format(item.price) }}
{% endfor %}</ul>"""
app = Flask(__name__)
app.secret_key = "a soak needs no secret"


def items(count):
    return [{"id": i, "name": f"item {i}", "price": i * 1.25, "tags": ["a%d" % i, "b"]} for i in range(count)]


@app.route("/page/<int:number>")
def page(number):
    return render_template_string(PAGE, title=f"Page {number}", items=items(20 + number % 50))


@app.route("/items")
def listing():
    wanted = re.compile(request.args.get("q", ""))
    return jsonify(items=[item for item in items(200) if wanted.search(item["name"])])


@app.route("/orders", methods=["POST"])
def order():
    lines = request.get_json()["lines"]
    return jsonify(ok=True, total=sum(line["price"] * line["count"] for line in lines))


@app.route("/visit")
def visit():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.route("/rows/<int:count>")
def rows(count):
    database = sqlite3.connect(":memory:")
    database.execute("create table rows (id integer primary key, word text)")
    database.executemany("insert into rows (word) values (?)", ((f"word {i % 97}",) for i in range(count)))
    found = database.execute("select word, count(*) from rows group by word order by 2 desc, 1 limit 5").fetchall()
    database.close()
    return jsonify(found)


@app.route("/wrong")
def wrong():
    try:
        return jsonify({}["missing"])
    except KeyError:
        abort(404)


@app.route("/digest/<int:size>")
def digest(size):
    found = []

    def work():
        packed = zlib.compress(bytes(range(256)) * (size % 400 + 1))
        found.append(hashlib.sha256(packed).hexdigest())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return jsonify(found)


@app.route("/child")
def child():
    return subprocess.run(["cat"], input=b"a child's words\n", stdout=subprocess.PIPE, check=True).stdout
