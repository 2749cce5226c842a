# syntax=docker/dockerfile:1
# One image for everything: `o2c run NAME` is a service, `o2c migrate NAME` its migrations, the rest the operator's tool.
# Python of the version that the tests run on. The digest is that of the multi-platform index.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# What changes seldom first: the locked packages, without the embedded PostgreSQL and broker.
COPY requirements/image.lock requirements/
RUN python -m venv /opt/o2c && /opt/o2c/bin/pip install --require-hashes --no-deps -r requirements/image.lock

COPY pyproject.toml README.md ./
COPY shared/ shared/
COPY services/ services/
COPY o2c/ o2c/
# What only builds goes again; the byte code is made here, since nothing can be written where it runs.
RUN /opt/o2c/bin/pip install --no-deps --no-build-isolation . \
    && /opt/o2c/bin/pip uninstall --yes hatchling pathspec pluggy trove-classifiers setuptools pip \
    && python -m compileall -q /opt/o2c/lib

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

LABEL org.opencontainers.image.title="o2c" \
      org.opencontainers.image.description="Order to cash as event-sourced services on Kafka and PostgreSQL"

ENV PATH=/opt/o2c/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    O2C_HTTP_HOST=0.0.0.0 \
    O2C_HTTP_PORT=8080

COPY --from=build /opt/o2c /opt/o2c
COPY deploy/healthcheck.py /opt/o2c/healthcheck.py

# A number, so that Kubernetes can see that it is not root. Nobody of this number owns a file of the image.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "/opt/o2c/healthcheck.py", "/health/live"]
ENTRYPOINT ["o2c"]
CMD ["--help"]
