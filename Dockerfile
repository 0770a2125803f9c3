# One image for every service process; which one it is, its command says.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /careloop
COPY deploy/requirements.lock deploy/requirements.lock
RUN /careloop/bin/pip install --require-hashes -r deploy/requirements.lock
COPY pyproject.toml README.md ./
COPY careloop careloop
COPY edge_agent edge_agent
COPY ingest ingest
COPY predictor predictor
COPY scheduler scheduler
COPY api api
COPY bench bench
# The build backend came with the lock, so nothing is fetched that has no hash.
RUN /careloop/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
ENV PATH=/careloop/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/careloop careloop
# Mosquitto's files are read by its group, 1883 in its image.
RUN install --directory --owner careloop --group 1883 --mode 2750 /var/lib/careloop-broker
COPY --from=build /careloop /careloop
USER careloop
WORKDIR /var/lib/careloop
ENTRYPOINT ["careloop"]
CMD ["--help"]
