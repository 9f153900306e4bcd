# Batchlens as an image. CPU by default; for NVIDIA GPUs: docker build --build-arg TORCH_VARIANT=cuda .
#
#   docker run --rm -p 127.0.0.1:8000:8000 batchlens                              the demo data
#   docker run --rm -p 127.0.0.1:8000:8000 -v /my/photos:/data:ro batchlens       your own
#
# Needs BuildKit (the default since Docker 23). The container writes nowhere but to /tmp: run it with --read-only --tmpfs /tmp.
ARG PYTHON_VERSION=3.13

# What to install, told from pyproject.toml. A stage of its own, so that an edit elsewhere in that file leaves the layers below as they are.
FROM python:${PYTHON_VERSION}-slim AS requirements
WORKDIR /requirements
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], sep='\n')" > all.txt \
    && python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['optional-dependencies']['gpu'], sep='\n')" > gpu.txt \
    && grep -E '^torch' all.txt > torch.txt

# Everything but Batchlens itself. PyTorch comes first and alone: gigabytes that seldom change.
FROM python:${PYTHON_VERSION}-slim AS dependencies
# cpu: PyTorch's own index of CPU wheels. cuda: the wheels on PyPI, which carry CUDA. cu126 and the like: that folder of PyTorch's index.
ARG TORCH_VARIANT=cpu
RUN python -m venv --without-pip /opt/batchlens
COPY --from=requirements /requirements/torch.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    case "${TORCH_VARIANT}" in \
        cpu|cu[0-9]*) set -- --index-url "https://download.pytorch.org/whl/${TORCH_VARIANT}" ;; \
        cuda) set -- ;; \
        *) echo "TORCH_VARIANT is '${TORCH_VARIANT}'; it can be cpu, cuda or a folder of PyTorch's index such as cu126" >&2; exit 1 ;; \
    esac \
    && pip --python /opt/batchlens/bin/python install "$@" -r /requirements/torch.txt
COPY --from=requirements /requirements/all.txt /requirements/gpu.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ "${TORCH_VARIANT}" = cpu ]; then : > /requirements/gpu.txt; fi \
    && pip --python /opt/batchlens/bin/python freeze > /requirements/frozen.txt \
    && grep -E '^torch(vision)?==' /requirements/frozen.txt > /requirements/pinned.txt \
    && pip --python /opt/batchlens/bin/python install -c /requirements/pinned.txt -r /requirements/all.txt -r /requirements/gpu.txt

# Batchlens, laid out under /package as it will lie in the final image: one small layer there.
FROM dependencies AS package
WORKDIR /source
COPY pyproject.toml README.md ./
COPY service ./service
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --no-deps --wheel-dir /wheels . \
    && pip --python /opt/batchlens/bin/python install --no-deps --no-index --root /package /wheels/*.whl

FROM python:${PYTHON_VERSION}-slim
RUN groupadd --gid 1000 batchlens \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin batchlens
COPY --from=dependencies /opt/batchlens /opt/batchlens
COPY --from=package /package/ /
COPY data/shapes /data/shapes

ENV PATH=/opt/batchlens/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BATCHLENS_HOST=0.0.0.0
WORKDIR /
USER 1000:1000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('BATCHLENS_PORT', '8000')), timeout=4); server.request('GET', '/health/live'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["batchlens"]
CMD ["serve", "/data"]
