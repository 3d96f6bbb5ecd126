//! `cargo xtask s3-server`: S3 in a folder, which refuses what is not signed with the credentials of the environment.
//!
//! It has no versions of an object: MiniStack's S3 has those, and checks no signature.

use std::path::PathBuf;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

use crate::Failure;

const USAGE: &str = "usage: AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… cargo xtask s3-server --folder DIR --listen ADDRESS";

/// Serves until it is ended.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [folder_name, folder, listen_name, listen] = arguments else { return Err(USAGE.into()) };
    if (folder_name.as_str(), listen_name.as_str()) != ("--folder", "--listen") {
        return Err(USAGE.into());
    }
    let credential = |name| std::env::var(name).map_err(|_| USAGE);
    let auth = SimpleAuth::from_single(credential("AWS_ACCESS_KEY_ID")?, credential("AWS_SECRET_ACCESS_KEY")?);
    let files = FileSystem::new(PathBuf::from(folder)).map_err(|cause| format!("{folder}: {cause:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(auth);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(listen, builder.build()))
}

async fn serve(address: &str, service: S3Service) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let served = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
            if let Err(cause) = served {
                eprintln!("a connection failed: {cause}");
            }
        });
    }
}
