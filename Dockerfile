# The image of hullwatch: Python, libbpf and the agent, and nothing else. No shell, no compiler, no package manager.
#
#   docker build -t hullwatch:0.1.0 .
#
# For amd64 and arm64 (the wheel and the eBPF object are the same for both). It builds with BuildKit and with the classic
# builder. Decisions: docs/adr/0017-image-from-scratch.md. `scripts/image` builds it on a machine without a registry.

# An index of several architectures. What lands in the image is not taken from here, but fetched from Debian's archive.
ARG BASE=debian:bookworm-slim@sha256:4724b8cc51e33e398f0e2e15e18d5ec2851ff0c2280647e1310bc1642182655d

FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# clang and libbpf's headers compile the eBPF sensor while the wheel is built.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates clang libbpf-dev python3-venv

# The image's own packages, unpacked and not installed: no maintainer script runs, so no shell has to be there.
COPY deploy/image/packages deploy/image/assemble /image/
RUN /image/assemble /image/packages /out

# Dependencies before the program: these layers change only with the lock files. Every file is held against its hash,
# wherever it comes from: PyPI, an index of your own (PIP_INDEX_URL), or deploy/image/wheels alone (PIP_NO_INDEX=1).
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
COPY requirements.lock requirements-build.lock /src/
COPY deploy/image/wheels /wheels
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --find-links /wheels --require-hashes -r /src/requirements-build.lock \
 && python3.11 -m venv --without-pip /opt/hullwatch \
 && /opt/build/bin/pip --python /opt/hullwatch/bin/python install --only-binary :all: \
        --find-links /wheels --require-hashes -r /src/requirements.lock

COPY pyproject.toml hatch_build.py README.md LICENSE /src/
COPY agent /src/agent
COPY collectors /src/collectors
COPY detectors /src/detectors
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist /src \
 && /opt/build/bin/pip --python /opt/hullwatch/bin/python install --no-deps --no-index /dist/*.whl

COPY deploy/image/finish deploy/image/sbom.py deploy/image/check.py /image/
RUN /image/finish /out


FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hullwatch" \
      org.opencontainers.image.description="Watches the hull of every container on a Linux node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /out /

# Nothing is written at run time but in the state directory: bytecode is compiled, the root file system may be read-only.
ENV PATH=/opt/hullwatch/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8

# uid 0, because Kubernetes takes added capabilities from other users. Run it with few capabilities, never privileged.
USER 0:0
WORKDIR /
ENTRYPOINT ["hullwatch"]
CMD ["run"]
