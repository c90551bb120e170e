# The page in a container: docs/containers.md. For a card: docker build --build-arg TORCH=cu130 -t textual-inversion .
FROM python:3.13-slim-bookworm

ARG TORCH=cpu

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1

RUN useradd --create-home --uid 1000 trainer \
    && mkdir /workspace \
    && chown trainer:trainer /workspace

WORKDIR /app
COPY requirements.txt requirements-lock.txt requirements-over.txt ./
COPY tools/install.py tools/install.py
RUN python tools/install.py --torch "$TORCH"

COPY app.py LICENSE README.md ./
COPY assets assets
COPY templates templates
COPY ti_core ti_core

USER 1000
VOLUME /workspace
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/robots.txt', timeout=8)"]

ENTRYPOINT ["python", "app.py", "--listen", "--port", "7860", "--workspace", "/workspace"]
