# syntax=docker/dockerfile:1
# Images of every role. Targets:
#   control  gateway and generator: no torch, no vLLM
#   cpu      every role on CPUs, from requirements.lock
#   cuda     trainer and engine on NVIDIA GPUs
# Build with `docker build --target cpu -t lift:cpu .`; run a role with `docker run lift:cpu engine`.
# Written with care and not yet built: there was no Docker engine where it was written.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/lift/bin:$PATH LIFT_STATE_DIR=/var/lib/lift
RUN groupadd --gid 10001 lift && useradd --uid 10001 --gid lift --home-dir /var/lib/lift --create-home lift \
 && install --directory --owner lift --group lift /var/lib/lift/.cache \
 && python -m venv /opt/lift
WORKDIR /src

FROM base AS control
COPY pyproject.toml README.md LICENSE requirements.lock ./
COPY lift lift
COPY server server
COPY trainer trainer
COPY generator generator
COPY storage storage
COPY evals evals
COPY benchmarks benchmarks
RUN pip install --constraint requirements.lock ".[gateway,generator]"
USER lift
WORKDIR /var/lib/lift
ENTRYPOINT ["lift"]
CMD ["gateway"]

FROM base AS cpu
# vLLM's CPU build wants OpenMP, NUMA and a compiler for torch.compile.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libnuma1 libgomp1 libgoogle-perftools4 \
 && rm -rf /var/lib/apt/lists/*
# An index with CPU builds of torch; without one the build takes PyPI's, which brings several GB of CUDA.
ARG TORCH_INDEX=""
COPY requirements.lock ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.lock)" \
 && grep -v '^torch==' requirements.lock | pip install --no-deps -r /dev/stdin
COPY pyproject.toml README.md LICENSE ./
COPY lift lift
COPY server server
COPY trainer trainer
COPY generator generator
COPY storage storage
COPY evals evals
COPY benchmarks benchmarks
RUN pip install --no-deps .
USER lift
WORKDIR /var/lib/lift
ENTRYPOINT ["lift"]
CMD ["engine"]

FROM base AS cuda
# torch's wheels carry the CUDA libraries; the host brings the driver (NVIDIA Container Toolkit). Triton wants a compiler.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE ./
COPY lift lift
COPY server server
COPY trainer trainer
COPY generator generator
COPY storage storage
COPY evals evals
COPY benchmarks benchmarks
RUN pip install ".[engine-cuda,trainer]"
USER lift
WORKDIR /var/lib/lift
ENTRYPOINT ["lift"]
CMD ["engine"]
