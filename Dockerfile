# One image for every stage: the command is `cradle`, the stage its argument.
#   docker build .                                  the builtin engine
#   docker build --build-arg CONSTRAINTS=torch .    with the torch engines

FROM python:3.13-slim-bookworm AS build
ARG CONSTRAINTS=runtime
WORKDIR /build
RUN python -m venv /opt/cradle
COPY constraints/${CONSTRAINTS}.txt constraints.txt
RUN /opt/cradle/bin/pip install --no-cache-dir --require-hashes --requirement constraints.txt
COPY . .
RUN /opt/cradle/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/cradle /opt/cradle
RUN install --directory --owner 65532 --group 65532 --mode 0700 /var/lib/cradle /var/lib/cradle-keys \
    /var/lib/cradle-archive
ENV PATH=/opt/cradle/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CRADLE_HOME=/var/lib/cradle
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["cradle"]
CMD ["--help"]
