# Batchlens as an image. CPU by default; for NVIDIA GPUs: docker build --build-arg TORCH_VARIANT=cuda .
#
#   docker run --rm -p 127.0.0.1:8000:8000 batchlens                              the demo data
#   docker run --rm -p 127.0.0.1:8000:8000 -v /my/photos:/data:ro batchlens       your own
#
# Needs Docker 25 or later (BuildKit, --start-interval). The container writes nowhere but to /tmp: run it with --read-only --tmpfs /tmp.
# Behind a mirror: --build-arg TORCH_INDEX=https://mirror.example/whl --build-arg PIP_INDEX_URL=https://mirror.example/simple
ARG PYTHON_VERSION=3.13

# Everything but Batchlens itself, at the versions of deploy/*.txt, which `make lock` makes. PyTorch comes first and alone: gigabytes that seldom change.
FROM python:${PYTHON_VERSION}-slim AS dependencies
# cpu: PyTorch's own index of CPU wheels. cuda: the wheels on PyPI, which carry CUDA. cu126 and the like: that folder of PyTorch's index.
ARG TORCH_VARIANT=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl
# An index other than PyPI; pip reads this variable itself.
ARG PIP_INDEX_URL
RUN python -m venv --without-pip /opt/batchlens && python -m venv --without-pip /opt/build
COPY deploy /deploy
# Static libraries, headers, tests and Triton (which only torch.compile uses) are half a gigabyte that rendering does without.
RUN --mount=type=cache,target=/root/.cache/pip \
    case "${TORCH_VARIANT}" in \
        cpu) wanted=torch.txt; set -- --no-deps --index-url "${TORCH_INDEX}/cpu" ;; \
        cu[0-9]*) wanted=torch.txt; set -- --index-url "${TORCH_INDEX}/${TORCH_VARIANT}" ;; \
        cuda) wanted=requirements-cuda.txt; set -- --no-deps --require-hashes ;; \
        *) echo "TORCH_VARIANT is '${TORCH_VARIANT}'; it can be cpu, cuda or a folder of PyTorch's index such as cu126" >&2; exit 1 ;; \
    esac \
    && pip --python /opt/batchlens/bin/python install "$@" -r "/deploy/${wanted}" \
    && find /opt/batchlens/lib -name '*.a' -delete \
    && find /opt/batchlens/lib -type d \( -name tests -o -name test -o -path '*/site-packages/triton' -o -path '*/torch/include' \) \
        -prune -exec rm -r {} +
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ "${TORCH_VARIANT}" != cuda ]; then \
        pip --python /opt/batchlens/bin/python install --no-deps --require-hashes -r /deploy/requirements-cpu.txt \
        && find /opt/batchlens/lib -type d \( -name tests -o -name test \) -prune -exec rm -r {} +; \
    fi
# What builds the wheel: here, so that a new build after an edit of Batchlens needs no network.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/build/bin/python install --no-deps --require-hashes -r /deploy/requirements-build.txt

# Batchlens, laid out under /package as it will lie in the final image: one small layer there.
FROM dependencies AS package
WORKDIR /source
COPY pyproject.toml README.md ./
COPY service ./service
RUN pip --python /opt/build/bin/python wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && pip --python /opt/batchlens/bin/python install --no-cache-dir --no-deps --no-index --root /package /wheels/*.whl

FROM python:${PYTHON_VERSION}-slim
RUN groupadd --gid 1000 batchlens \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin batchlens
# The base image has no bytecode of the standard library, and nothing can be written later: without, each health check would compile what it imports.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(site-packages|dist-packages|test|tests|idlelib|lib2to3)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
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
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('BATCHLENS_PORT', '8000')), timeout=4); server.request('GET', '/health/live'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["batchlens"]
CMD ["serve", "/data"]

# Last, so that another commit alone changes no layer. `make image-check` passes the commit.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Batchlens" \
      org.opencontainers.image.description="Every augmented batch has a URL: a REST microservice for image datasets." \
      org.opencontainers.image.revision="${REVISION}"
