"""A correct Flask service: templates, JSON, sessions, errors.
"""
# python: 3.11
# bounded: flask==3.0.3
import flask

REQUESTS = 3_000
app = flask.Flask(__name__)
app.secret_key = "known"
PAGE = "<h1>{{ title }}</h1><ul>{% for row in rows %}<li>{{ row.name|upper }}{% endfor %}</ul>"


@app.route("/page/<int:number>")
def page(number):
    flask.session["last"] = number
    return flask.render_template_string(PAGE, title=number, rows=[{"name": f"row {i}"} for i in range(20)])


@app.route("/orders", methods=["POST"])
def orders():
    wanted = flask.request.get_json()
    if wanted["number"] % 5 == 0:
        flask.abort(409)
    return flask.jsonify(total=sum(line["price"] for line in wanted["lines"]))


client = app.test_client()
count = 0


def request():
    global count
    count += 1
    client.get(f"/page/{count}")
    client.post("/orders", json={"number": count, "lines": [{"price": i} for i in range(20)]})


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
