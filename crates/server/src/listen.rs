//! The accept loop: HTTP/1.1 and 2 with or without TLS, a bound on connections, shedding of slow clients, graceful stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::config::Config;

/// What the accept loop needs to know.
pub(crate) struct Listen {
    pub router: axum::Router,
    pub tls: Option<TlsAcceptor>,
    pub connections_max: usize,
    /// Room for a request's head. More than the API takes of it: that refuses with a word what is only somewhat too long.
    pub head_bytes_max: usize,
    pub client_idle_max: Duration,
    /// How long a connection may be silent even while a request of its is worked on.
    pub read_silence_max: Duration,
    pub drain_max: Duration,
}

impl Listen {
    pub(crate) fn new(config: &Config, router: axum::Router, tls: Option<TlsAcceptor>) -> Self {
        Self {
            router,
            tls,
            connections_max: config.connections_max as usize,
            head_bytes_max: (config.url_bytes_max + 2 * config.header_bytes_max) as usize + (8 << 10),
            client_idle_max: Duration::from_secs(config.client_idle_seconds_max),
            read_silence_max: Duration::from_secs(config.client_idle_seconds_max + config.request_seconds_max),
            drain_max: Duration::from_secs(config.drain_seconds_max),
        }
    }

    /// Serves until `stop` resolves, then lets requests under way finish, up to the drain limit.
    pub(crate) async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // A permit is taken first: past the bound, clients wait in the kernel's queue instead of in our memory.
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit.expect("the semaphore is never closed"),
                () = &mut stop => break,
            };
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(cause) => {
                        tracing::warn!(%cause, "connection not accepted");
                        // Out of file descriptors: waiting for one to close is all there is to do.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                },
                () = &mut stop => break,
            };
            self.serve(stream, permit, &graceful);
        }
        drop(listener);
        if tokio::time::timeout(self.drain_max, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests still under way at the end of the drain time were cut off");
        }
    }

    fn serve(&self, stream: TcpStream, permit: OwnedSemaphorePermit, graceful: &GracefulShutdown) {
        let connection = Connection {
            builder: self.builder(),
            router: self.router.clone(),
            watcher: graceful.watcher(),
            client_idle_max: self.client_idle_max,
            read_silence_max: self.read_silence_max,
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(cause) = connection.accept(stream, tls).await {
                tracing::debug!(%cause, "connection ended early");
            }
        });
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.client_idle_max).max_buf_size(self.head_bytes_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.client_idle_max / 2)
            .keep_alive_timeout(self.client_idle_max / 2)
            .max_concurrent_streams(128)
            .max_header_list_size(u32::try_from(self.head_bytes_max).unwrap_or(u32::MAX));
        builder
    }
}

/// What one connection's task owns.
struct Connection {
    builder: auto::Builder<TokioExecutor>,
    router: axum::Router,
    watcher: Watcher,
    client_idle_max: Duration,
    read_silence_max: Duration,
}

impl Connection {
    async fn accept(self, stream: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        // The HTTP version is told apart by the first bytes, before any timer of hyper's runs.
        tokio::time::timeout(self.client_idle_max, stream.readable()).await??;
        match tls {
            None => self.serve(stream, peer).await,
            Some(acceptor) => {
                let stream = tokio::time::timeout(self.client_idle_max, acceptor.accept(stream)).await??;
                let mut stream = BufReader::new(stream);
                tokio::time::timeout(self.client_idle_max, stream.fill_buf()).await??;
                self.serve(stream, peer).await;
            }
        }
        Ok(())
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static, peer: SocketAddr) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.client_idle_max));
        stream.set_read_timeout(Some(self.read_silence_max));
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
        if let Err(cause) = self.watcher.watch(connection).await {
            tracing::debug!(%cause, "connection failed");
        }
    }
}
