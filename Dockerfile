# One image for both planes, the dashboard and the `penstock` command; compose.yaml says which runs.

FROM python:3.12-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
# As in the Makefile: a native build would fit this machine's processor alone.
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/penstock
WORKDIR /build
COPY requirements.lock ./
RUN /opt/penstock/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE alembic.ini ./
COPY dataplane dataplane
COPY controlplane controlplane
COPY dashboard dashboard
COPY migrations migrations
RUN /opt/penstock/bin/pip install --no-deps .

FROM python:3.12-slim
# What llama.cpp was linked against.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home penstock \
    && install --directory --owner=penstock --mode=0700 /var/lib/penstock /var/lib/penstock-start
COPY --from=build /opt/penstock /opt/penstock
ENV PATH="/opt/penstock/bin:${PATH}" \
    PENSTOCK_CONFIG=/etc/penstock/penstock.yaml \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER penstock
WORKDIR /var/lib/penstock
CMD ["penstock", "--help"]
