# rspnet in a container: for CPUs, or with --build-arg TORCH=cu130 for NVIDIA's GPUs. The versions are those that are
# tested, requirements.txt's. docs/runs.md says how it is started.
#
#   docker build --tag rspnet .
#   docker run --rm --init --shm-size 4g --user "$(id -u):$(id -g)" -v "$PWD:/work" rspnet verify videos
FROM python:3.11-slim-bookworm AS build
# Whose builds of torch: cpu, or a CUDA's that download.pytorch.org has.
ARG TORCH=cpu
RUN python -m venv /opt/rspnet
ENV PATH=/opt/rspnet/bin:$PATH
WORKDIR /source
COPY requirements.txt ./
# As constraints the pinned versions hold for what is installed, and what only the tests need stays out.
RUN sed -e '/^-e/d' -e 's/\[.*\]//' requirements.txt > constraints.txt \
    && pip install --no-cache-dir --constraint constraints.txt \
        --index-url "https://download.pytorch.org/whl/$TORCH" torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY accelerate_configs accelerate_configs
COPY configs configs
COPY stages stages
COPY rspnet rspnet
RUN pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/rspnet /opt/rspnet
# The home is anybody's: the container may run as whoever owns the videos (--user).
ENV PATH=/opt/rspnet/bin:$PATH HOME=/home/rspnet
RUN useradd --uid 1000 --create-home rspnet && chmod 1777 /home/rspnet
USER 1000
WORKDIR /work
ENTRYPOINT ["rspnet"]
CMD ["--help"]
