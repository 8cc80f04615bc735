"""protobuf: ByteSize() serializes into memory that only goes with the message: an arena of a message that lives.

https://github.com/protocolbuffers/upb/issues/1243. Without unfreed: resident memory +81 B a call with 4.22.1, none with 4.25.0.
"""
# python: 3.10
# leaks: protobuf==4.22.1
# mended: protobuf==4.25.0
# verdict: GROWING
from google.protobuf.type_pb2 import Type

REQUESTS = 50_000
MESSAGE = Type()


def request():
    for _ in range(10):
        MESSAGE.source_context.ByteSize()  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
