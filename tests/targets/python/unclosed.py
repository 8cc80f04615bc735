"""Opens files, connections and sockets and keeps some of them open. The lines are named by the test."""
import os
import socket
import sqlite3
import sys

kept = []


def files():
    for _ in range(30):
        kept.append(open(sys.argv[0]))  # a file
    for _ in range(50):
        with open(sys.argv[0]):
            pass


def databases():
    for number in range(20):
        connection = sqlite3.connect(os.path.join(sys.argv[1], "database%d" % number))
        connection.execute("create table t (x)")  # a database
        connection.commit()
        kept.append(connection)


def sockets():
    for _ in range(10):
        kept.append(socket.socket())  # a socket
    server = socket.create_server(("127.0.0.1", 0))  # a server
    for _ in range(15):
        client = socket.create_connection(server.getsockname())
        kept.append(server.accept()[0])  # a connection
        client.close()
    kept.append(server)


def pipes():
    for _ in range(5):
        kept.append(os.pipe())  # a pipe
        os.close(kept[-1][0])


files()
databases()
sockets()
pipes()
sys.stdout.flush()
os._exit(0)
