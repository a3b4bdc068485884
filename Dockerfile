# One image for every part of the backend: `mcal serve`, `mcal worker`, `mcal bootstrap`, `mcal migrate`, `mcal doctor`.
# It runs on CPUs and on NVIDIA GPUs: PyPI's torch is the CUDA build, which falls back to the CPU, and is most of the size.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml requirements.lock /requirements/
# Without the settings of linters and tests, whose changes must not install everything anew.
RUN sed --in-place '/^\[tool\.ruff\]/,$d' /requirements/pyproject.toml

FROM ${BASE_IMAGE} AS uv
# The machine's own certificates count too, where a proxy has put one there.
ENV UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never
COPY requirements.lock /tmp/
# Its own lines of the lock, with their hashes; pip would install everything that stands there.
RUN awk '/^[^ ]/ { ours = /^uv==/ } ours' /tmp/requirements.lock >/tmp/uv.lock \
 && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/uv.lock

FROM uv AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements.lock ./
COPY mcal_engine mcal_engine
COPY backend backend
RUN --mount=type=cache,target=/root/.cache/uv uv build --wheel --out-dir /dist --build-constraints requirements.lock --require-hashes

FROM ${BASE_IMAGE}
ARG UV_SYSTEM_CERTS=true UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin mcal \
 && install --directory --owner=mcal --group=mcal /data
# Which packages: pyproject.toml's, with the extras that a server needs. Which versions, and with which hashes: requirements.lock's.
# Installed where they stay, since copying gigabytes from another stage would write them twice.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,from=uv,source=/usr/local/bin/uv,target=/tmp/uv \
    --mount=type=bind,from=requirements,source=/requirements,target=/tmp/requirements \
    /tmp/uv venv /opt/venv \
 && /tmp/uv pip install --directory /tmp/requirements --python /opt/venv/bin/python \
      --require-hashes --constraint requirements.lock --requirement pyproject.toml \
      --extra label-studio-ml --extra postgresql --extra redis --extra s3 --extra text --extra timm
# In a layer of its own: a new version of the backend does not move the gigabytes below it.
RUN --mount=type=bind,from=uv,source=/usr/local/bin/uv,target=/tmp/uv \
    --mount=type=bind,from=build,source=/dist,target=/tmp/dist \
    /tmp/uv pip install --python /opt/venv/bin/python --no-cache --no-index --no-deps /tmp/dist/*.whl
# Pretrained encoders to have inside, by the names that `mcal encoders` lists, separated by spaces; the build needs a network for them.
ARG ENCODERS=""
RUN for name in ${ENCODERS}; do \
      HF_HOME=/tmp/hub /opt/venv/bin/mcal encoders --fetch "${name}" --to /opt/venv/share/mcal/encoders || exit 1; \
    done && rm -rf /tmp/hub
ENV PATH=/opt/venv/bin:$PATH \
    HF_HOME=/data/hub \
    PYTHONUNBUFFERED=1 \
    MCAL_DATA_DIR=/data \
    MCAL_HOST=0.0.0.0 \
    MCAL_LOG_FORMAT=json
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
EXPOSE 9090
# Asks the web server, or the worker, whichever of them runs in this container.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s CMD ["mcal", "health"]
ENTRYPOINT ["mcal"]
CMD ["serve"]
