//! The control socket of a running server: `control.sock` in the data folder, which only the folder's owner can enter.
//!
//! A request is one line, `backup <absolute path>` or `tenant <request>` ([`Administration::obey`]); the answer is one line,
//! `ok <text>` or `failed <text>`.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fhirpool_authz::TenantAccess;
use fhirpool_embedded::EmbeddedStore;
use fhirpool_embedded::maintenance::{BackupSummary, MaintenanceError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::administration::Administration;

/// Room for what a tenant's record may have of roles, quotas and issuers.
const LINE_BYTES_MAX: u64 = (TenantAccess::BYTES_MAX as u64) + (8 << 10);

/// The socket, served until it is stopped.
pub(crate) struct Control {
    task: JoinHandle<()>,
    path: PathBuf,
}

fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

impl Control {
    /// Listens. The caller holds the folder's lock, so that a socket found there is a dead server's.
    pub(crate) fn start(data: &Path, store: Arc<EmbeddedStore>, administration: Arc<Administration>) -> std::io::Result<Self> {
        let path = path(data);
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let task = tokio::spawn(async move {
            // One request at a time: a second backup waits for the first.
            while let Ok((stream, _)) = listener.accept().await {
                if let Err(cause) = answer(stream, &store, &administration).await {
                    tracing::warn!(%cause, "control request failed");
                }
            }
        });
        Ok(Self { task, path })
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        // The task ends with the abort; that is what is waited for.
        let _ = self.task.await;
        if let Err(cause) = std::fs::remove_file(&self.path) {
            tracing::debug!(%cause, "control socket left behind");
        }
    }
}

async fn answer(mut stream: UnixStream, store: &Arc<EmbeddedStore>, administration: &Arc<Administration>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let answer = match line.trim_end().split_once(' ') {
        Some(("backup", to)) => match backup(store, Path::new(to)).await {
            Ok(said) => format!("ok {said}\n"),
            Err(cause) => format!("failed {cause}\n"),
        },
        Some(("tenant", request)) => match administration.obey(request).await {
            Ok(said) => format!("ok {said}\n"),
            Err(cause) => format!("failed {cause}\n"),
        },
        _ => "failed unknown request\n".to_owned(),
    };
    writer.write_all(answer.as_bytes()).await
}

async fn backup(store: &EmbeddedStore, to: &Path) -> Result<String, MaintenanceError> {
    Ok(said(&store.backup(new_file(to)?).await?))
}

/// A file that is not there yet and that only its owner may read, for a backup.
pub(crate) fn new_file(path: &Path) -> std::io::Result<SyncedFile> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(SyncedFile(BufWriter::with_capacity(1 << 20, file)))
}

/// What a backup was.
pub(crate) fn said(summary: &BackupSummary) -> String {
    format!("wrote {} resources and {} superseded versions, {} bytes,", summary.resources, summary.superseded, summary.bytes)
}

/// A file whose flush ends on stable storage.
pub(crate) struct SyncedFile(BufWriter<File>);

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().sync_all()
    }
}

/// Asks a running server for something; `None` where none runs on the folder.
pub(crate) async fn request(data: &Path, request: &str) -> std::io::Result<Option<Result<String, String>>> {
    let mut stream = match UnixStream::connect(path(data)).await {
        Ok(stream) => stream,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(cause) => return Err(cause),
    };
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(Some(match answer.trim_end().split_once(' ') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some((_, text)) => Err(text.to_owned()),
        None => Err("the server ended before it answered".to_owned()),
    }))
}
