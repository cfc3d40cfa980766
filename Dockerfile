# syntax=docker/dockerfile:1
# Targets:
#   serve      the server for NVIDIA GPUs: CUDA runtime, cuDNN and onnxruntime-gpu, without torch
#   serve-cpu  the server for CPUs, small, without torch (the default)
#   train      the trainer and the server
#   ray        the same with Ray, for the nodes of a cluster that runs jobs
#
#   docker build --tag latentd .
#   docker build --tag latentd-gpu --target serve .
#   docker build --tag latentd-train --target train .
#
# Without a container daemon: scripts/build-images.
# --build-arg EXTRAS="tracing postgres s3" adds what `file_store` needs for an object store.
# --build-arg REVISION="$(git rev-parse HEAD)" puts the commit into the image's labels.

FROM python:3.11-slim-bookworm AS python
# onnxruntime would keep an identifier in the home folder, say on stderr that it cannot, and report home.
ENV PATH=/opt/latentd/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1

# Dependencies are layers of their own: a change of the code does not install them again.
FROM python AS dependencies
WORKDIR /src
RUN python3 -m venv /opt/latentd
COPY pyproject.toml constraints.txt ./
COPY scripts/requirements scripts/
ARG EXTRAS="tracing postgres"
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/pip \
    python scripts/requirements cpu $EXTRAS >requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt setuptools

FROM dependencies AS serve-cpu-build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
COPY README.md LICENSE ./
COPY runtime runtime
COPY service service
COPY trainer trainer
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip
# What no server runs: packages' tests, numpy's compiler front end, onnxruntime's model tools and its second copy,
# for programs in C, and the debug sections of compiled modules (25 MB; *.libs stay as they are, for their own tool has
# rearranged them). That it does without them is seen at once.
WORKDIR /opt/latentd/lib/python3.11/site-packages
RUN find . -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf numpy/f2py numpy/distutils \
        onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/capi/libonnxruntime.so* \
    && find . -name '*.so' -not -path './*.libs/*' -exec strip --strip-debug {} + \
    && python -c "import onnxruntime, service.app, service.otlp_tracing"

FROM dependencies AS train-build
# torch by its exact version and first: a looser requirement makes pip look at every build of it.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt "$(grep '^torch==' constraints.txt)" \
    && python scripts/requirements trainer >requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY runtime runtime
COPY service service
COPY trainer trainer
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM train-build AS ray-build
ARG RAY=2.60.0
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt "ray[default]==$RAY"

FROM nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04 AS gpu-python
# onnxruntime would keep an identifier in the home folder, say on stderr that it cannot, and report home.
ENV PATH=/opt/latentd/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM gpu-python AS serve-build
WORKDIR /src
RUN python3 -m venv /opt/latentd
COPY pyproject.toml constraints.txt ./
COPY scripts/requirements scripts/
ARG EXTRAS="tracing postgres"
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/pip \
    python scripts/requirements gpu $EXTRAS >requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt setuptools
COPY README.md LICENSE ./
COPY runtime runtime
COPY service service
COPY trainer trainer
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip \
    && python -c "import onnxruntime, service.app, service.otlp_tracing"

FROM python AS base
# A user without a shell, who owns nothing but the data.
RUN groupadd --gid 10001 latentd \
    && useradd --uid 10001 --gid latentd --no-create-home --home-dir /data --shell /usr/sbin/nologin latentd \
    && install --directory --owner latentd --group latentd /data /data/models /data/state /data/runs /data/keys
WORKDIR /data
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title=latentd \
    org.opencontainers.image.description="Images from generative models, over HTTP and gRPC" \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=$VERSION \
    org.opencontainers.image.revision=$REVISION

FROM base AS train
COPY --from=train-build /opt/latentd /opt/latentd
USER 10001:10001
ENTRYPOINT ["latentd"]
CMD ["train", "--help"]

# Ray writes below /tmp, its object store is /dev/shm. KubeRay's probes call wget.
FROM base AS ray
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*
COPY --from=ray-build /opt/latentd /opt/latentd
ENV HOME=/tmp
USER 10001:10001
ENTRYPOINT ["ray"]
CMD ["start", "--help"]

FROM gpu-python AS serve
RUN groupadd --gid 10001 latentd \
    && useradd --uid 10001 --gid latentd --no-create-home --home-dir /data --shell /usr/sbin/nologin latentd \
    && install --directory --owner latentd --group latentd /data /data/models /data/state /data/runs /data/keys
WORKDIR /data
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title=latentd \
    org.opencontainers.image.description="Images from generative models, over HTTP and gRPC, on NVIDIA GPUs" \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=$VERSION \
    org.opencontainers.image.revision=$REVISION
COPY --from=serve-build /opt/latentd /opt/latentd
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python3", "-ISc", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ.get('LATENTD_HTTP_PORT', 8000))), 2); s.sendall(b'GET /livez HTTP/1.0\\r\\n\\r\\n'); assert b' 200 ' in s.recv(64)"]
ENTRYPOINT ["latentd"]
CMD ["serve", "--store", "/data/models", "--state", "/data/state", "--host", "0.0.0.0"]

FROM base AS serve-cpu
COPY --from=serve-cpu-build /opt/latentd /opt/latentd
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
# Without urllib, which would take ten times as long to load. Another port is told by LATENTD_HTTP_PORT, not by a flag.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-ISc", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ.get('LATENTD_HTTP_PORT', 8000))), 2); s.sendall(b'GET /livez HTTP/1.0\\r\\n\\r\\n'); assert b' 200 ' in s.recv(64)"]
ENTRYPOINT ["latentd"]
# Listening beyond loopback needs a key: latentd keys create NAME --state /data/state
CMD ["serve", "--store", "/data/models", "--state", "/data/state", "--host", "0.0.0.0"]
