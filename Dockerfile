# Tianji in one image: the web server, workers, Celery Beat and the one-time preparation differ only in their
# command. docker-compose.yml has all of them; docs/operations.md explains how to run them.

ARG PYTHON_VERSION=3.13
# With a digest, if what is built should not depend on the day: docs/install.md#images-by-digest says how.
ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements/base.txt requirements/build.txt /tmp/requirements/
RUN /opt/venv/bin/pip install --require-hashes -r /tmp/requirements/base.txt \
    && pip install --require-hashes -r /tmp/requirements/build.txt
WORKDIR /src
COPY . .
# Not isolated, so that nothing is used that the locks don't name.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/venv/bin/pip install --no-deps /tmp/wheel/*.whl
# Collecting static files needs a key to start with and uses it for nothing; it does not stay in the image.
RUN SECRET_KEY=only-for-the-build-0123456789abcdef TIANJI_DATA=/tmp/data TIANJI_STATIC=/app/static-root \
    /opt/venv/bin/tianji prepare --static-only

FROM ${PYTHON_IMAGE}
# `make image` knows both; what is built in another way has neither.
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Tianji" \
      org.opencontainers.image.description="A self-hosted push monitor: it notifies you when a service, cron job or machine stops sending heartbeats." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://git.example.com/tianji/tianji" \
      org.opencontainers.image.documentation="https://git.example.com/tianji/tianji/src/docs/index.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIANJI_HOST=0.0.0.0 \
    TIANJI_PORT=8000 \
    TIANJI_DATA=/data \
    TIANJI_STATIC=/app/static-root \
    TIANJI_ALIVE=/tmp/alive
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
HEALTHCHECK --interval=15s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['TIANJI_PORT']), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# Everything, on SQLite in the volume; with DATABASE_URL, only the web server.
CMD ["tianji", "run"]
