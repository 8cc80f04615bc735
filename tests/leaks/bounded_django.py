"""A correct Django service: ORM, templates, JSON.
"""
# python: 3.11
# bounded: django==4.2.16
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="known", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, LOGGING_CONFIG=None,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}], PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.urls import path  # noqa: E402

REQUESTS = 1_500
count = 0


def page(_, number):
    users = User.objects.filter(id__lte=number)[:10]
    return HttpResponse(engines["django"].from_string("{% for user in users %}{{ user.username }}{% endfor %}").render({"users": users}))


def user(_, number):
    made = User.objects.create_user(f"user {number}")
    answer = JsonResponse({"id": made.id})
    made.delete()
    return answer


urlpatterns = [path("page/<int:number>", page), path("user/<int:number>", user)]
call_command("migrate", verbosity=0)
for i in range(20):
    User.objects.create_user(f"reader {i}")
service, requests = WSGIHandler(), RequestFactory()


def answer(request):
    answered = service(request.environ, lambda status, headers: None)
    list(answered)
    answered.close()


def request():
    global count
    count += 1
    answer(requests.get(f"/page/{count}"))
    answer(requests.post(f"/user/{count}"))


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
