# Build context: the repository. No image is published, and this file has not been tested on a cluster yet.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# The eBPF sensor is compiled when the wheel is built; the headers come with libbpf-dev.
RUN apt-get update && apt-get install --yes --no-install-recommends clang libbpf-dev && rm -rf /var/lib/apt/lists/*

# Dependencies first: this layer changes only with the lock files.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements-build.lock \
 && python -m venv /opt/hullwatch && /opt/hullwatch/bin/pip install --require-hashes -r requirements.lock

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY agent agent
COPY collectors collectors
COPY detectors detectors
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/hullwatch/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/hullwatch/bin/python -m compileall -q /opt/hullwatch/lib \
 && /opt/hullwatch/bin/python -m pip uninstall --yes pip


FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="hullwatch" \
      org.opencontainers.image.description="Watches the hull of every container on a Linux node" \
      org.opencontainers.image.licenses="Apache-2.0"

# The eBPF sensor is loaded through it.
RUN apt-get update && apt-get install --yes --no-install-recommends libbpf1 && rm -rf /var/lib/apt/lists/*

# The root file system is meant to be read-only: nothing is written at run time, bytecode was compiled above.
ENV PATH=/opt/hullwatch/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/hullwatch /opt/hullwatch

# uid 0, because Kubernetes drops added capabilities for other users. Run it with few capabilities, not with --privileged.
USER 0:0
ENTRYPOINT ["hullwatch", "run"]
