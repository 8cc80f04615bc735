"""bson of pymongo: options that were converted for a raw document are not given back, and hold the registry of types.

https://github.com/mongodb/mongo-python-driver/pull/496 (PYTHON-2382). Without unfreed: resident memory +1,023 B a request with 3.11.0, none with
3.11.1.
"""
# python: 3.8
# leaks: pymongo==3.11.0
# mended: pymongo==3.11.1
# verdict: GROWING
# also: 20
import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

REQUESTS = 30_000
DOCUMENT = bson.encode({"a": 1})


def request():
    options = CodecOptions(document_class=RawBSONDocument)
    dict(RawBSONDocument(DOCUMENT, options))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
