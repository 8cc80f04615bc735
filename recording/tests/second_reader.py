"""A reader of recordings written from FORMAT.md alone: prints the records of one file as text, chunk by chunk.

It exists to show that the document is enough. second_reader.rs compares what it prints with what the decoder gives.
"""
import struct
import sys

CHUNK, HEADER, M64, M32 = 65536, 64, 2**64 - 1, 2**32 - 1


class Cut(Exception):
    pass


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Cut
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if value > M64:
                    raise Cut
                return value
            shift += 7
            if shift > 63:
                raise Cut

    def signed(self):
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def hashed(value, bits):
    return (value * 0x9E3779B97F4A7C15 & M64) >> (64 - bits)


def class_of(size):
    return 0 if size > 1024 else max(2, (size + 23) // 16)


def spent(size):
    return max(32, (size + 23) & M64 & ~15)


def grain(size):
    steps = ((size + 15) & M64) >> 4
    return steps if steps < 65 else 0


class Events:
    def __init__(self, data, clock):
        self.bytes, self.clock, self.gap = Bytes(data), clock, 0
        self.last = self.behind = self.stack = 0
        self.second, self.lasts, self.strides, self.classes = False, [0] * 65, [0] * 65, [0] * 128
        self.stamp, self.recent = [0] * 256, [(0, 0)] * 4096
        self.sites, self.stacks, self.regions = [(0, 0)] * 1024, [0] * 1024, [0] * 7
        self.freed, self.top = [[0] * 8 for _ in range(66)], [0] * 66

    def stamped(self, address):
        shard = (address >> 16 ^ address >> 26) % 256
        stamp = (self.stamp[shard] + self.gap) & M64
        self.stamp[shard], self.gap = (stamp + 1) & M64, 0
        return f"address={address:#x} stamp={stamp}"

    def allocated(self, address, size, stack, reuse, ends):
        kind = class_of(size)
        if reuse:
            self.freed[kind][self.top[kind] % 8] = 0
            self.top[kind] = (self.top[kind] - 1) % 256
        else:
            self.behind = (address + spent(size)) & M64
            distance = (address - self.lasts[grain(size)]) & M64
            if 1 <= distance <= 2048:
                self.strides[grain(size)] = distance
            self.lasts[grain(size)] = address
        self.classes[hashed(address >> 14, 7)] = kind
        self.stack = stack
        self.recent[hashed(address >> 4, 12)] = (address & (1 << 59) - 1 & ~7, kind)
        self.last = address
        return f"{'ReallocEnd' if ends else 'Alloc'} {self.stamped(address)} size={size} stack={stack}"

    def allocation(self, tag):
        place, site, bits = tag >> 4 & 3, tag >> 2 & 3, tag & 3
        if site == 2:
            if bits:
                raise ValueError(f"unknown tag {tag:#x}")
            stack = (self.stack + self.bytes.signed() if self.second else self.bytes.varint() + 32768) & M32
        else:
            slot = bits << 8 | self.bytes.byte()
            stack, size = (self.stacks[slot], 0) if site == 1 else self.sites[slot]
        far = self.bytes.signed() if place == 2 else 0
        if site in (1, 2):
            size = self.bytes.varint()
            self.sites[hashed(stack << 32 | size & M32, 10)] = (stack, size & M32)
            self.stacks[hashed(stack, 10)] = stack
        if site == 3:
            self.gap = (self.gap + 1) & M64
        kind = class_of(size)
        newest = self.freed[kind][self.top[kind] % 8]
        if self.second:
            last = self.lasts[grain(size)]
            base, unit, third = last or self.last, 8 if size <= 8 else 16, self.last if tag & 0x40 else self.behind
            guesses = [newest, (last + self.strides[grain(size)]) & M64, (base + unit * far) & M64, third]
        else:
            guesses = [newest, self.behind, (self.last + 16 * far) & M64, self.last]
        return self.allocated(guesses[place], size, stack, place == 0, tag & 0x40)

    def released(self, address, begins):
        self.last = address
        return f"{'ReallocBegin' if begins else 'Free'} {self.stamped(address)}"

    def free(self, tag):
        if tag & 0x10:
            slot = (tag & 15) << 8 | self.bytes.byte()
            address, kind = self.recent[slot]
            self.recent[slot] = (0, 0)
        else:
            bit, place = tag >> 3 & 1, tag & 7
            if not self.second:
                self.gap = (self.gap + bit) & M64
            if place == 7:
                region = (self.regions[0] + self.bytes.signed()) & M64
                del self.regions[6]
            else:
                region = self.regions.pop(place)
            self.regions.insert(0, region)
            low, high = self.bytes.take(2)
            address = (region << 20 | high << 12 | low << 4) & M64
            kind = self.classes[hashed(address >> 14, 7)]
            if not (self.second and bit):
                kind = self.bytes.byte()
                if self.second:
                    address, kind = address | kind >> 7 << 3, kind & 127
            kind %= 66
        self.classes[hashed(address >> 14, 7)] = kind
        self.top[kind] = (self.top[kind] + 1) % 256
        self.freed[kind][self.top[kind] % 8] = address
        return self.released(address, tag & 0x20)

    def record(self, tag):
        b = self.bytes
        if tag & 0x80:
            return self.allocation(tag)
        if tag & 0x40:
            return self.free(tag)
        if tag & 0x20:
            self.gap = (self.gap + (tag & 31) + 1) & M64
            return None
        if tag == 1:
            self.gap = (self.gap + b.varint()) & M64
            return None
        if tag == 2:
            self.clock = (self.clock + b.varint()) & M64
            return f"Clock {self.clock}"
        if tag == 3:
            return f"Thread number={b.varint()} tid={b.varint()}"
        if tag == 4:
            return f"ThreadName {b.take(15).hex()}"
        if tag == 5:
            return f"ReallocUndo {self.stamped(b.number('Q'))}"
        if tag in (6, 7):
            return f"{'Mark' if tag == 6 else 'Lost'} {b.varint()}"
        if tag == 8:
            self.second = True
            return None
        if tag in (0x10, 0x11):
            stack, address, size = b.number("I"), b.number("Q"), b.number("Q")
            return self.allocated(address, size, stack, False, tag == 0x11)
        if tag in (0x12, 0x13):
            return self.released(b.number("Q"), tag == 0x13)
        raise ValueError(f"unknown tag {tag:#x}")


class Definitions:
    def __init__(self, data, first_id):
        self.bytes, self.next_id, self.pcs, self.last_pc = Bytes(data), first_id, [0] * 2048, 0
        self.code = 0

    def record(self, tag):
        b = self.bytes
        if tag & 0x80:
            return self.node(tag)
        if tag & 0x40:
            return self.python_node(tag)
        if tag == 0x20:
            return self.module()
        if tag == 0x23:
            native, python = self.parent(), self.parent()
            return f"Merged id={self.given()} native={native} python={python}"
        if 0x24 <= tag <= 0x27:
            return self.python_record(tag)
        if tag == 0x21:
            return f"ModuleGone number={b.varint()} epoch={b.varint()}"
        if tag == 0x22:
            return f"Epoch {b.varint()}"
        raise ValueError(f"unknown tag {tag:#x}")

    def given(self):
        identity, self.next_id = self.next_id, (self.next_id + 1) & M32
        return identity

    def parent(self):
        said = self.bytes.varint()
        folded = said - 16
        return said if said < 16 else (self.next_id + (folded >> 1 if folded & 1 == 0 else -(folded >> 1) - 1)) & M32

    def python_node(self, tag):
        b = self.bytes
        if tag & 15:
            raise ValueError(f"unknown tag {tag:#x}")
        self.code = (self.code + b.signed()) & M32
        instruction = (b.varint() - 1 + 2**31 & M32) - 2**31
        parent = (self.next_id - 1) & M32 if tag & 0x20 else self.parent()
        words = f"id={self.given()} parent={parent} code={self.code} instruction={instruction}"
        return f"PythonNode {words} entry={tag >> 4 & 1}"

    def python_record(self, tag):
        b = self.bytes
        start = b.at - 1
        flags, length = b.take(3)[0], b.number("I")
        if tag == 0x24:
            number, interpreter, first_line, lines_size = b.number("I"), b.number("I"), b.number("i"), b.number("I")
            file, name = b.number("H"), b.number("H")
            b.take(4)
            file, name = b.take(file), b.take(name)
            words = f"number={number} interpreter={interpreter} first_line={first_line} lines_size={lines_size}"
            return f"CodeObject {words} file={file.hex()} name={name.hex()} lines={b.take(start + length - b.at).hex()}"
        number, second = b.number("I"), b.number("I")
        if tag == 0x25:
            return f"CodeLines number={number} offset={second} lines={b.take(start + length - b.at).hex()}"
        if tag == 0x26:
            text = b.take(start + length - b.at).hex()
            return f"Interpreter number={number} version={second:#x} flags={flags & 3} text={text}"
        return f"EvalLoop interpreter={number} begin={b.number('Q'):#x} end={b.number('Q'):#x}"

    def node(self, tag):
        b = self.bytes
        pc = self.pcs[(tag & 7) << 8 | b.byte()] if tag & 0x20 else (self.last_pc + b.signed()) & M64
        parent = (self.next_id - 1) & M32 if tag & 0x40 else self.parent()
        identity = self.given()
        self.pcs[hashed(pc, 11)] = self.last_pc = pc
        return f"Node id={identity} parent={parent} pc={pc:#x} kind={'Interrupted' if tag & 0x10 else 'Return'}"

    def module(self):
        b = self.bytes
        start = b.at - 1
        segments, build_id, _ = b.take(3)
        length, number, epoch = b.number("I"), b.number("I"), b.number("I")
        bias, device, inode = b.number("Q"), b.number("Q"), b.number("Q")
        raw, identity = b.take(32 * segments), b.take(build_id)
        path = b.take(start + length - b.at)
        words = f"number={number} epoch={epoch} bias={bias:#x} device={device} inode={inode}"
        return f"Module {words} segments={raw.hex()} build_id={identity.hex()} path={path.hex()}"


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89UNF\r\n\x1a\n" and struct.unpack_from("<I", data, 8)[0] in (1, 2, 3, 4, 5, 6), "a recording of version 1 to 6"
    for start in range(CHUNK, struct.unpack_from("<Q", data, 128)[0] * CHUNK, CHUNK):
        chunk = data[start : start + CHUNK]
        if chunk[:8] == data[:8]:
            identity, parent, pid = struct.unpack_from("<QQI", chunk, 16)
            print(f"Process {start // CHUNK} id={identity:#x} parent={parent:#x} pid={pid}")
        if chunk[:4] != b"UFCK":
            continue
        clock, first_id = struct.unpack_from("<QI", chunk, 24)
        if chunk[4] not in (2, 3):
            continue
        reader = Events(chunk[HEADER:], clock) if chunk[4] == 3 else Definitions(chunk[HEADER:], first_id)
        print(f"Chunk {start // CHUNK} process={struct.unpack_from('<I', chunk, 40)[0]}")
        try:
            while tag := reader.bytes.byte():
                if line := reader.record(tag):
                    print(line)
        except Cut:
            print("Cut")


main(sys.argv[1])
