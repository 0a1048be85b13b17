# Clearway with HAProxy. `make image` builds it; so does `docker build .` once target/release/clearway is there
# (`make build`; for the machine's own architecture).
#
# BASE may be a Debian, whose own haproxy is installed then, or anything that has haproxy already:
#   docker build --build-arg BASE=haproxy:3.2 .
#   docker build --build-arg BASE=haproxy:3.2-alpine .
ARG BASE=debian:13-slim
FROM ${BASE}

# The official HAProxy image ends with another user. Clearway begins as root and lets HAProxy become the `user` of
# its configuration; `docker run --user` works as well, where the capabilities suffice.
USER 0:0

# User and group have the numbers of the official image: certificates of its users belong to them.
RUN set -eu; \
    if ! command -v haproxy >/dev/null; then \
      command -v apt-get >/dev/null || { echo 'this base has neither haproxy nor apt-get' >&2; exit 1; }; \
      export DEBIAN_FRONTEND=noninteractive; \
      apt-get -qq update; \
      apt-get -qq install --yes --no-install-recommends ca-certificates haproxy; \
      groupmod --gid 99 haproxy; \
      usermod --uid 99 haproxy; \
      apt-get clean; \
      rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt; \
      rm -rf /etc/haproxy/haproxy.cfg; \
    fi; \
    if ! grep -q '^haproxy:' /etc/passwd; then \
      if command -v useradd >/dev/null; then \
        groupadd --system --gid 99 haproxy; useradd --uid 99 --gid haproxy --no-create-home haproxy; \
      else addgroup -S -g 99 haproxy; adduser -S -D -H -u 99 -G haproxy haproxy; fi; \
    fi; \
    mkdir -p /usr/local/etc/haproxy /var/lib/haproxy /run/haproxy; \
    chown haproxy:haproxy /var/lib/haproxy; \
    # For root without any right, which is its owner, and for the user of the official image. \
    chown root:haproxy /run/haproxy; chmod 2775 /run/haproxy; \
    if [ ! -e /usr/local/etc/haproxy/errors ] && [ -d /etc/haproxy/errors ]; then \
      cp -R /etc/haproxy/errors /usr/local/etc/haproxy/errors; \
    fi; \
    # HAProxy itself has one place whatever the base; before it on PATH comes Clearway under its name (decision 0033). \
    if [ "$(command -v haproxy)" = /usr/local/sbin/haproxy ]; then mv /usr/local/sbin/haproxy /usr/sbin/haproxy; fi; \
    mkdir -p /usr/local/sbin /usr/local/bin; \
    ln -s ../bin/clearway /usr/local/sbin/haproxy; \
    ln -sf clearway /usr/local/bin/docker-entrypoint.sh

COPY LICENSE-MIT LICENSE-APACHE /usr/local/share/doc/clearway/
COPY target/release/clearway /usr/local/bin/clearway

# As Docker has it where nothing is said; a base may have another one.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /var/lib/haproxy
ENTRYPOINT ["/usr/local/bin/clearway"]
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]

# Sessions may finish for 295 s (CLEARWAY_DRAIN_TIMEOUT): give `docker stop` 300.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/clearway", "health"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Clearway" \
      org.opencontainers.image.description="HAProxy with lossless reloads and transparent TCP proxying" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/clearway/clearway" \
      org.opencontainers.image.documentation="https://github.com/clearway/clearway/blob/main/README.md" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
