# syntax=docker/dockerfile:1
# Targets:
#   serve-cpu  the server, without torch (the default)
#   train      the trainer and the server
#
#   docker build --tag latentd .
#   docker build --tag latentd-train --target train .

FROM python:3.11-slim-bookworm AS base
ENV PATH=/opt/latentd/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A user without a shell, who owns nothing but the data.
RUN groupadd --gid 10001 latentd \
    && useradd --uid 10001 --gid latentd --no-create-home --home-dir /data --shell /usr/sbin/nologin latentd \
    && install --directory --owner latentd --group latentd /data /data/models /data/state /data/runs
WORKDIR /data

# Dependencies are layers of their own: a change of the code does not install them again.
FROM base AS dependencies
WORKDIR /src
RUN python3 -m venv /opt/latentd
COPY pyproject.toml constraints.txt ./
COPY scripts/requirements scripts/
RUN --mount=type=cache,target=/root/.cache/pip \
    python scripts/requirements cpu >requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt setuptools

FROM dependencies AS serve-cpu-build
COPY README.md LICENSE ./
COPY runtime runtime
COPY service service
COPY trainer trainer
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip

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

FROM base AS train
COPY --from=train-build /opt/latentd /opt/latentd
USER 10001:10001
ENTRYPOINT ["latentd"]
CMD ["train", "--help"]

FROM base AS serve-cpu
COPY --from=serve-cpu-build /opt/latentd /opt/latentd
USER 10001:10001
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["latentd"]
# Listening beyond loopback needs a key: latentd keys create NAME --state /data/state
CMD ["serve", "--store", "/data/models", "--state", "/data/state", "--host", "0.0.0.0"]
