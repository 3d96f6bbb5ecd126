# The server: one program, the root certificates, and a user without rights.
FROM rust:1.95.0-slim-bookworm AS build
# The image's own toolchain, whatever components rust-toolchain.toml asks for.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . .
RUN cargo build --release --locked -p fhirpool-server --features aws \
    && install -D target/release/fhirpool /image/usr/local/bin/fhirpool \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d -o 10001 -g 10001 /image/var/lib/fhirpool

FROM debian:bookworm-slim
COPY --from=build /image /
USER 10001:10001
WORKDIR /var/lib/fhirpool
# Comes before a file of settings; the health check asks there.
ENV FHIRPOOL_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r answer <&3 && [[ $answer == *' 200 '* ]]"]
ENTRYPOINT ["fhirpool"]
CMD ["serve"]
