"""Servers in C: redis, nginx, haproxy, memcached, postgres. They listen on Unix sockets, and so need no free port."""
import glob
import os
import random
import shutil
import signal
import socket

import http_client
from application import Application


def redis(stage):
    path = stage.path("redis.sock")
    options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "yes", "--dir", stage.folder]
    server = stage.start("redis-server", *options, ready=http_client.listens(path))

    def ask(*words, **options):
        return stage.run("redis-cli", "-s", path, *words, **options)

    stage.run("redis-benchmark", "-s", path, "-q", "-n", "2000", "-c", "20", "-P", "4", "-t", "set,get,lpush,lpop,sadd,zadd,hset,mset", quiet=True)
    ask("flushall")
    commands = [f"set key{n} {'v' * (n * 37 % 900)}\nlpush list {n}\nhset hash f{n} {n}\nzadd sorted {n * 31 % 101} m{n}" for n in range(3000)]
    ask("-x", "echo", data="from standard input")
    ask(data="\n".join(commands), quiet=True)
    ask("eval", "local s = 0 for i = 1, 2000 do s = s + #redis.call('get', 'key' .. i) end return s", "0")
    ask("zrange", "sorted", "0", "20", "withscores")
    ask("bgsave", quiet=True)
    stage.until(lambda: "rdb_bgsave_in_progress:0" in info(path))
    ask("bgrewriteaof", quiet=True)
    stage.until(lambda: "aof_rewrite_in_progress:0" in info(path) and "aof_rewrite_scheduled:0" in info(path))
    ask("debug", "digest")
    ask("dbsize")
    stage.end(server)


def info(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"INFO persistence\r\nQUIT\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


NGINX = """
daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log; gzip on; gzip_min_length 100; gzip_types text/plain;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen unix:{folder}/nginx.sock; root {folder}/www; default_type text/plain;
    location /again/ {{ proxy_pass http://unix:{folder}/nginx.sock:/; proxy_buffering on; }}
    location /said {{ return 200 "$request_method $arg_word\\n"; }}
  }}
}}
"""


def web_files(stage):
    """Files of some sizes, readable for workers that are nobody."""
    os.mkdir(stage.path("www"))
    os.chmod(stage.folder, 0o755)
    noise = random.Random(1)
    for number in range(20):
        stage.write(f"www/file{number}", "".join(noise.choices("abcdef \n", k=3000 * (number + 1))))
    return [f"{prefix}/file{n % 20}" for n in range(60) for prefix in ("", "/again")] + ["/said?word=x", "/missing"]


def nginx(stage):
    user = "user nobody nogroup;" if os.getuid() == 0 else ""
    configuration = stage.write("nginx.conf", NGINX.format(folder=stage.folder, user=user))
    paths = web_files(stage)
    where = stage.path("nginx.sock")
    server = stage.start("nginx", "-c", configuration, "-p", stage.folder, ready=http_client.listens(where))
    stage.transcript += http_client.digests(where, paths * 5)
    stage.transcript += [str(http_client.get(where, "/file9", {"Accept-Encoding": "gzip"})[0])]
    server.send_signal(signal.SIGHUP)
    stage.transcript += http_client.digests(where, paths * 5)
    stage.end(server, signal.SIGQUIT)


HAPROXY = """
global
  nbthread 2
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 60s
frontend f
  bind unix@{folder}/haproxy.sock
  http-request return status 200 content-type text/plain lf-string "%[path] %[src_port]\\n" if {{ path_beg /said }}
  http-request return status 200 content-type text/plain file {folder}/big if {{ path_beg /file }}
  http-request deny deny_status 404
"""


def haproxy(stage):
    stage.write("big", "0123456789abcdef\n" * 700)
    configuration = stage.write("haproxy.cfg", HAPROXY.format(folder=stage.folder))
    where = stage.path("haproxy.sock")
    server = stage.start("haproxy", "-W", "-f", configuration, ready=http_client.listens(where))
    stage.transcript += http_client.digests(where, [f"/{word}{n}" for n in range(200) for word in ("said", "file", "none")])
    stage.end(server)


def memcached(stage):
    where = stage.path("memcached.sock")
    os.chmod(stage.folder, 0o777)
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    server = stage.start("memcached", *user, "-s", where, "-a", "666", "-m", "16", "-t", "3", ready=http_client.listens(where))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(where)
        answers = connection.makefile("rb")
        for number in range(3000):
            value = b"v" * (number * 131 % 9000)
            connection.sendall(b"set key%d 0 0 %d\r\n%s\r\nget key%d\r\n" % (number, len(value), value, number))
            answer = [answers.readline() for _ in range(4)]
            if answer[0] != b"STORED\r\n" or answer[2] != value + b"\r\n":
                stage.say(number, answer)
    stage.end(server, signal.SIGINT)


ROWS = """
create table rows as select n, md5(n::text) as digest, n % 17 as part from generate_series(1, 20000) n;
create index on rows(digest);
analyze rows;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
select part, count(*), min(digest), sum(length(digest || part)) from rows group by part order by part;
select count(*) from rows a join rows b on a.digest < b.digest and a.n = b.n + 1;
do $$ declare s bigint := 0; begin for i in 1..2000 loop s := s + i; begin if i % 100 = 0 then raise 'x'; end if; exception when others then null; end; end loop; end $$;
select string_agg(digest, '' order by n) = repeat('', 0) from rows where n < 500;
"""


def postgres(stage):
    """Every backend is a process, and pgbench makes a new one for each transaction of one of its runs."""
    bin = postgres_bin()

    def tool(name, *words, **options):
        return stage.run(os.path.join(bin, name), *words, **options)

    at = ["-h", stage.folder, "-U", "soak"]
    tool("initdb", "-D", stage.path("data"), "-U", "soak", "-A", "trust", "--no-sync", "-E", "UTF8", quiet=True)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={stage.folder}", "-c", "fsync=off", "-c", "autovacuum_naptime=1"]
    server = stage.start(os.path.join(bin, "postgres"), "-D", stage.path("data"), *options, ready=lambda: is_ready(stage.path("data")))
    tool("createdb", *at, "soak")
    tool("pgbench", *at, "-q", "-i", "-s", "1", "soak", quiet=True)
    tool("pgbench", *at, "-c", "4", "-j", "2", "-t", "100", "soak", quiet=True)
    tool("pgbench", *at, "-C", "-S", "-c", "2", "-t", "15", "soak", quiet=True)
    tool("psql", *at, "-q", "-X", "-v", "ON_ERROR_STOP=1", "soak", data=ROWS)
    tool("pg_dump", *at, "-t", "rows", "soak", quiet=True)
    stage.end(server, signal.SIGINT)


def is_ready(data):
    """Whether the server says so in its file."""
    path = os.path.join(data, "postmaster.pid")
    if not os.path.exists(path):
        return False
    with open(path) as file:
        return "ready" in file.read()


def postgres_bin():
    """Debian keeps the server's programs out of PATH."""
    found = shutil.which("pgbench", path=os.pathsep.join([*glob.glob("/usr/lib/postgresql/*/bin"), os.environ["PATH"]]))
    return os.path.dirname(os.path.realpath(found)) if found else ""


APPLICATIONS = [
    Application("redis", ["redis-server", "redis-benchmark", "redis-cli"], redis, ["redis-server", "redis-tools"], processes=10),
    Application("nginx", ["nginx"], nginx, ["nginx-light"], processes=5),
    Application("haproxy", ["haproxy"], haproxy, ["haproxy"], processes=2),
    Application("memcached", ["memcached"], memcached, ["memcached"], processes=1),
    Application("postgres", ["psql", "createdb"], postgres, ["postgresql"], processes=50, user=True),
]
