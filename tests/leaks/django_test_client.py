"""Django: its test client connects and disconnects a signal with each request, and each time a finalizer of the receiver stays.

Found by unfreed in a script that was thought to be correct; no report is known to us, and no version where it is mended. Without unfreed:
sys.getallocatedblocks() +30 a request with 4.2.16, after gc.collect() too.
"""
# python: 3.11
# leaks: django==4.2.16
# verdict: GROWING
# function: Signal.connect
from django.conf import settings

settings.configure(SECRET_KEY="known", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

import django  # noqa: E402

django.setup()

from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

REQUESTS = 3_000
urlpatterns = [path("", lambda _: HttpResponse("hello"))]
client = Client()


def request():
    client.get("/")  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
