"""The WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
application = get_wsgi_application()

# From here on this process receives pushes.
from monitors.heartbeats.pipeline import process_pipeline  # noqa: E402  (needs the apps, which are loaded above)

process_pipeline().listener.start()
