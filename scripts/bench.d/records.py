"""Records in plain Python: built, sent through JSON, grouped, formatted, sorted; one block of each round stays: records.py ROUNDS"""
import json
import sys
from collections import Counter

KEPT = []
EACH = 5000


def record(number):
    tags = ["tag-%d" % (number % modulus) for modulus in (3, 5, 7, 11)]
    place = {"row": [number, number + 1, number + 2], "street": {"house": str(number), "floor": None, "lift": True}}
    return {"id": number, "name": "user-%d" % number, "tags": tags, "score": number * 1.25, "place": place}


def through_json(records):
    return json.loads(json.dumps(records))


def grouped(records):
    groups = {}
    for each in records:
        groups.setdefault(each["place"]["street"]["house"][-1:], []).append((each["id"], each["name"]))
    return {key: sorted(group, key=lambda pair: -pair[0]) for key, group in groups.items()}


def formatted(records):
    return "\n".join(f"{r['id']:>8} {r['name']:<20} {r['score']:.3f} {','.join(r['tags'])}" for r in records)


def words(text):
    return Counter(word.upper() for line in text.split("\n") for word in line.split(",")).most_common(10)


def keep_one():
    return bytes(5000)


def main(rounds):
    total = 0
    for start in range(0, rounds * EACH, EACH):
        records = through_json([record(number) for number in range(start, start + EACH)])
        total += len(grouped(records)) + len(words(formatted(records)))
        KEPT.append(keep_one())
    print(total, len(KEPT))


main(int(sys.argv[1]))
