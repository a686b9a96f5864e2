# Tianji in one image: the web server, workers, Celery Beat and the one-time preparation differ only in their
# command. docker-compose.yml has all of them; docs/operations.md explains how to run them.

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements/base.txt /tmp/base.txt
RUN /opt/venv/bin/pip install --require-hashes -r /tmp/base.txt
WORKDIR /app
COPY . .
# collectstatic does not start without a key, but does not use it; the key does not end up in the image.
RUN SECRET_KEY=only-for-the-build TIANJI_DATA=/tmp/data TIANJI_STATIC=/app/static-root \
    /opt/venv/bin/python manage.py collectstatic --no-input --verbosity 0 \
    && /opt/venv/bin/python -m compileall -q accounts api core monitors notifications tianji

FROM python:${PYTHON_VERSION}-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIANJI_HOST=0.0.0.0 \
    TIANJI_PORT=8000 \
    TIANJI_DATA=/data \
    TIANJI_STATIC=/app/static-root
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tianji \
    && install --directory --owner tianji --group tianji /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER tianji
# The SQLite database and the generated secret key of an installation without PostgreSQL.
VOLUME ["/data"]
EXPOSE 8000
# Not urllib, which would use a proxy from the environment for the container's own address.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['TIANJI_PORT']), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "manage.py", "run", "web"]
