"""Prints the load of the sqlite3 workload: inserts, look-ups by index, grouped scans. The same on every machine."""

INSERTS, LOOKUPS, SCANS = 40_000, 4_000, 12
number = 1


def below(limit):
    """A number that only looks random: a linear congruence, since Python's own may change."""
    global number
    number = (number * 6364136223846793005 + 1442695040888963407) % 2**64
    return (number >> 33) % limit


print("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
print("CREATE TABLE entry(id INTEGER PRIMARY KEY, name TEXT, weight REAL, body TEXT);")
print("CREATE INDEX by_name ON entry(name); BEGIN;")
for i in range(INSERTS):
    print(f"INSERT INTO entry VALUES({i},'n{below(9999)}',{below(10**6)}/1e6,'{'x' * (10 + below(290))}');")
print("COMMIT;")
for _ in range(LOOKUPS):
    print(f"SELECT count(*), sum(weight), max(length(body)) FROM entry WHERE name='n{below(9999)}';")
for _ in range(SCANS):
    print("SELECT name, group_concat(id), avg(weight) FROM entry GROUP BY name ORDER BY avg(weight) LIMIT 5;")
