"""huggingface_hub: an error holds the frame that holds it: a cycle that only the collector frees.

https://github.com/huggingface/huggingface_hub/pull/4092. Without unfreed, with gc.disable(): resident memory +1,630 B a request with 1.6.0, none with 1.11.0.
"""
# python: 3.11
# leaks: huggingface_hub==1.6.0
# mended: huggingface_hub==1.11.0
# verdict: GC-ONLY
import httpx
from huggingface_hub.utils import hf_raise_for_status

REQUESTS = 5_000
ADDRESS = "https://huggingface.co/a/b/resolve/main/c"


def request():
    answer = httpx.Response(404, headers={"X-Error-Code": "EntryNotFound"}, request=httpx.Request("GET", ADDRESS))  # the leak
    try:
        hf_raise_for_status(answer)
    except Exception:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
