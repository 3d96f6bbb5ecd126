//! The bare axum server that benchmarks measure against: answers every GET with the same bytes.
//!
//! Arguments: the number of bytes. Prints the address it listens on.
#![expect(clippy::unwrap_used, reason = "a measuring tool may stop at once")]

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

#[tokio::main]
async fn main() {
    let size = std::env::args().nth(1).and_then(|size| size.parse().ok()).unwrap_or(1024);
    let bytes = axum::body::Bytes::from(vec![b'x'; size]);
    let router = Router::new().route("/{*path}", get(move || async move { ([(CONTENT_TYPE, "application/fhir+json")], bytes) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listening on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}
