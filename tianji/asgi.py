"""The ASGI application that granian serves: the push gateway, and Django behind it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
_wsgi = get_wsgi_application()

# These need the apps, which are loaded above.
from django.conf import settings  # noqa: E402

from monitors.heartbeats.gateway import Gateway  # noqa: E402
from monitors.heartbeats.pipeline import process_pipeline  # noqa: E402
from tianji.runtime.drain import Drained, before_stopping  # noqa: E402
from tianji.runtime.pages import Pages  # noqa: E402

application = Drained(Gateway(Pages(_wsgi, threads=settings.TIANJI_WEB_THREADS), process_pipeline()))
before_stopping(application)

# From here on this process receives pushes.
process_pipeline().listener.start()
