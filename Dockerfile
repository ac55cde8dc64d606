FROM python:3.11-slim-bookworm AS build

# Another package index beside the default one, e.g. the one with PyTorch's CPU builds.
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/hardneg

# Dependencies alone, so that a change of the code leaves this layer of several GB as it is.
# Every file has the digest that `make lock` wrote down, beside those of torch: its builds for the CPU
# and for CUDA have one version and come from different indexes, so only the version is fixed.
COPY requirements.lock requirements-torch.txt constraints.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/hardneg/bin/pip install --require-hashes --no-deps --requirement requirements.lock \
    && /opt/hardneg/bin/pip install --requirement requirements-torch.txt --constraint constraints.txt \
    && /opt/hardneg/bin/pip check

COPY pyproject.toml README.md LICENSE ./
COPY hardneg hardneg
COPY migrations migrations
COPY models models
COPY service service
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/hardneg/bin/pip install --no-deps .


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 hardneg \
    && useradd --uid 10001 --gid hardneg --home-dir /data --shell /usr/sbin/nologin hardneg \
    && install --directory --owner hardneg --group hardneg /data /data/tmp
COPY --from=build /opt/hardneg /opt/hardneg

# Uploads wait in the volume, for /tmp may be memory; where the folder is missing, Python takes /tmp.
ENV PATH=/opt/hardneg/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/data/tmp \
    HARDNEG_DATA_DIR=/data \
    HARDNEG_PORT=8000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"HARDNEG_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["hardneg"]
CMD ["serve"]
