"""Every process that was started below this one, told by the kernel: an oracle of what should have been recorded.

Uses the process events connector, which needs root; without it nothing is watched.
"""
import os
import select
import socket
import struct
import threading

NETLINK_CONNECTOR, CN_IDX_PROC, PROC_CN_MCAST_LISTEN, NLMSG_DONE = 11, 1, 1, 3
# struct nlmsghdr, struct cn_msg, and of struct proc_event what precedes its data.
NETLINK, MESSAGE, EVENT = struct.Struct("=IHHII"), struct.Struct("=IIIIHH"), struct.Struct("=IIQ")
FORK, EXEC = 1, 2
BUFFER = 8 << 20


class Watch:
    """Between `with` and its end: `parents` of all processes that were forked, `executed` files by process."""

    def __init__(self):
        self.parents, self.executed, self.complete = {}, {}, False

    def __enter__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        self.done, self.thread = os.eventfd(0), None
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self.socket.bind((0, CN_IDX_PROC))
            body = struct.pack("=I", PROC_CN_MCAST_LISTEN)
            message = MESSAGE.pack(CN_IDX_PROC, 1, 0, 0, len(body), 0) + body
            self.socket.send(NETLINK.pack(NETLINK.size + len(message), NLMSG_DONE, 0, 0, 0) + message)
        except OSError:
            return self
        self.complete = True
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.eventfd_write(self.done, 1)
        if self.thread:
            self.thread.join()
        self.socket.close()
        os.close(self.done)

    def listen(self):
        """Until the end, and then what has already come."""
        while True:
            ready, _, _ = select.select([self.socket, self.done], [], [])
            if self.socket not in ready:
                return
            try:
                self.take(self.socket.recv(4096)[NETLINK.size + MESSAGE.size :])
            except OSError:  # some were dropped
                self.complete = False

    def take(self, event):
        kind, _, _ = EVENT.unpack_from(event)
        words = struct.unpack_from("=IIII", event.ljust(EVENT.size + 16, b"\0"), EVENT.size)
        if kind == FORK and words[2] == words[3]:
            self.parents[words[3]] = words[1]
        elif kind == EXEC:
            try:
                self.executed[words[1]] = os.readlink(f"/proc/{words[1]}/exe")
            except OSError:
                self.executed[words[1]] = "?"

    def descendants(self):
        """Of this process, by id: the file that each executed last, None if it executed none since it was forked."""
        found, me = {}, os.getpid()
        for pid, parent in self.parents.items():
            if parent == me or parent in found:
                found[pid] = self.executed.get(pid)
        return found
