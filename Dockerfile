FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

WORKDIR /app

# The requirements change seldom, so they are a layer of their own.
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt

COPY . .
RUN pip install --no-deps --no-build-isolation .

RUN useradd --create-home --uid 10001 turnstile
USER turnstile
# What the embedded mode writes lies in the user's own folder.
WORKDIR /home/turnstile

EXPOSE 8000
ENTRYPOINT ["turnstile"]
CMD ["--help"]
