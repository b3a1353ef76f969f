# The images of the node and of the operator:
#   docker build --target node     -t nanocluster-node .
#   docker build --target operator -t nanocluster-operator .
# A user's image is FROM nanocluster-node plus the user's package in /app.
# Both run as uid 10001 and need no writable file system.
ARG BASE_IMAGE=python:3.11-slim

# ------------------------------------------------------------ build

# What the project depends on has layers of its own: new code reuses them.
FROM ${BASE_IMAGE} AS dependencies
WORKDIR /src
COPY pyproject.toml ./
RUN python3 -c "import tomllib as t; p = t.load(open('pyproject.toml', 'rb')); \
    put = lambda name, lines: open(name, 'w').write('\n'.join(lines)); \
    put('build.txt', p['build-system']['requires'] \
        + p['tool']['hatch']['build']['targets']['wheel']['hooks']['custom']['dependencies']); \
    put('node.txt', p['project']['dependencies']); \
    put('operator.txt', p['project']['optional-dependencies']['operator'])" \
 && python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir -r build.txt
# No pip in the venv that becomes the image: nothing is installed at run time.
RUN python3 -m venv --without-pip /venv \
 && /build/bin/pip --python /venv/bin/python install --no-cache-dir -r node.txt

# What every message passes through is compiled, see node/compile.py.  Images of
# python.org's Python have its headers, Debian's own Python has them in a package.
FROM dependencies AS wheel
RUN headers=$(python3 -c "import sysconfig; print(sysconfig.get_path('include'))") \
 && apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
      $(test -e "$headers/Python.h" || echo python3-dev) \
 && rm -rf /var/lib/apt/lists/*
ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=1
COPY LICENSE README.md ./
COPY node/compile.py node/
COPY node/src node/src
COPY operator/src operator/src
COPY clients/js/src clients/js/src
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheel .

FROM dependencies AS node-venv
COPY --from=wheel /wheel /wheel
RUN /build/bin/pip --python /venv/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM dependencies AS operator-venv
RUN /build/bin/pip --python /venv/bin/python install --no-cache-dir -r operator.txt
COPY --from=wheel /wheel /wheel
RUN /build/bin/pip --python /venv/bin/python install --no-cache-dir --no-deps /wheel/*.whl

# ------------------------------------------------------------ run

FROM ${BASE_IMAGE} AS base
RUN groupadd --gid 10001 nano \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app nano
# PYTHONSAFEPATH: the working directory is never searched for modules by accident.
ENV PATH=/venv/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001

FROM base AS operator
COPY --from=operator-venv /venv /venv
ENTRYPOINT ["python", "-m", "nano_operator"]

# Last, so that a build without --target makes it.
FROM base AS node
COPY --from=node-venv /venv /venv
ENV NANO_APP_DIR=/app
ENTRYPOINT ["nanoctl"]
CMD ["node"]
