# The server in a container, from the Debian package. docs/INSTALL.md says how to run it: the runtime's seccomp profile must
# allow io_uring, and the messages need a volume.
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -qy --no-install-recommends \
    gcc libc6-dev cmake ninja-build pkg-config liburing-dev libwslay-dev liblmdb-dev libck-dev libssl-dev \
    node-llhttp libjansson-dev libsystemd-dev libedit-dev libpq-dev dpkg-dev file
COPY . /source
WORKDIR /source
RUN cmake --preset release -B build/container -DBUILD_TESTING=OFF \
    && cmake --build build/container --target package_parts \
    && cd build/container && cpack

FROM debian:bookworm-slim
COPY --from=build /source/build/container/package/chitchat*_*.deb /tmp/
RUN apt-get update && apt-get install -qy --no-install-recommends /tmp/chitchat*_*.deb \
    && rm -rf /tmp/chitchat*_*.deb /var/lib/apt/lists/* \
    && useradd --system --uid 900 --home-dir /var/lib/chitchat --shell /usr/sbin/nologin chitchat \
    && install -d -o chitchat -g chitchat -m 700 /var/lib/chitchat
COPY packaging/container-ready.sh /usr/lib/chitchat/container-ready.sh
USER chitchat
WORKDIR /var/lib/chitchat
VOLUME /var/lib/chitchat
EXPOSE 8080
# SIGTERM stops the server; give it more time than its options do: docker stop --time 60.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/lib/chitchat/container-ready.sh", "127.0.0.1", "8081"]
CMD ["chitchat", "serve", "--config", "/etc/chitchat/chitchat.conf", "--admin", "127.0.0.1:8081"]
