//! The one thread that writes.
//!
//! It takes what waits in the queue into a group, writes one batch with one sync, publishes the new picture, and only then
//! answers. Tenants take turns at being taken up, by what they write: a tenant that sends much waits behind its own, and a large
//! commit behind the small ones of others.
//!
//! When a write fails, nothing more is written: writes are refused, reads go on with the last picture, and once a probe write
//! succeeds the database is opened again, here, in the same process. A panic ends the process, since what is in memory can no
//! longer be trusted.

use std::collections::VecDeque;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fhirpool_authz::TenantId;
use fhirpool_storage::tenants::TenantRecord;
use fhirpool_storage::{CommitOutcome, Result, StorageError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Settings;
use crate::audit::Append;
use crate::database::{Database, Space};
use crate::faults::Fault;
use crate::group::{GROUP_WRITES_MAX, Ground, Group};
use crate::meta::{Clock, FORMAT, FORMAT_KEY, read_count, read_tenants};
use crate::picture::Picture;
use crate::places::Place;
use crate::prepare::Prepared;
use crate::recent::Recent;
use crate::registry::Purged;
use crate::shared::Shared;
use crate::turns::{Permit, Turns};

/// How often a failed database is probed.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// What a probe writes, in bytes: room for a journal to go on.
const PROBE_BYTES: usize = 4 << 20;

/// About how many keys a tenant writes in its turn, where others wait.
const TURN_WRITES: usize = 1000;

/// What the committer is asked to do.
pub(crate) enum Job {
    /// To commit.
    Commit(Box<Waiting>),
    /// To append to the log of accesses.
    Append(Append),
    /// To keep a tenant's record; `false`: it does not follow what is kept.
    Tenant(Box<TenantRecord>, oneshot::Sender<Result<bool>>),
    /// To remove some of what there is of a tenant that is being deleted.
    Purge(TenantId, oneshot::Sender<Result<Purged>>),
    /// To add to the count in `meta` at this key.
    Count([u8; 5], u64, oneshot::Sender<Result<u64>>),
    /// To hand the database out for maintenance.
    Lend(oneshot::Sender<Result<Database>>),
}

/// A commit and who waits for it.
pub(crate) struct Waiting {
    pub(crate) commit: Prepared,
    pub(crate) reply: oneshot::Sender<Result<CommitOutcome>>,
    /// What the commit takes until it is done.
    pub(crate) room: Room,
}

/// The place and the memory that a commit takes until it is done.
pub(crate) struct Room {
    pub(crate) _place: Place,
    pub(crate) _memory: OwnedSemaphorePermit,
    /// Of what its tenant's small ones may take.
    pub(crate) _share: Option<OwnedSemaphorePermit>,
    /// Of a large one.
    pub(crate) _large: Option<Permit<TenantId>>,
}

/// The open database as the committer knows it.
pub(crate) struct Open {
    pub(crate) database: Database,
    picture: Arc<Picture>,
    clock: Clock,
    recent: Recent,
}

enum State {
    Open(Box<Open>),
    /// A write failed. Readers still have the last picture.
    Failed {
        database: Database,
        reason: String,
    },
    /// Nothing is open.
    Closed {
        reason: String,
    },
}

/// The committer before its thread runs.
pub(crate) struct Committer {
    path: PathBuf,
    settings: Settings,
    shared: Arc<Shared>,
    queue: Receiver<Job>,
    /// What came out of the queue: commits, and what is asked besides.
    commits: Turns<TenantId, Box<Waiting>>,
    asked: VecDeque<Job>,
    state: State,
    /// No commit gets a sequence that an earlier one had, though that one failed: what is kept by sequences stays right.
    sequence_min: u64,
    /// A commit that did not fit into the last group.
    waiting: Option<Box<Waiting>>,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// By `fjall`.
    #[error(transparent)]
    Database(#[from] fjall::Error),
    /// By what is in it.
    #[error(transparent)]
    Content(#[from] StorageError),
    /// By a format that this code does not know.
    #[error("the data folder has format {0}, which this version of fhirpool does not know")]
    Format(u32),
}

impl Committer {
    /// Opens the database and publishes its picture.
    pub(crate) fn open(
        path: &Path,
        settings: Settings,
        shared: Arc<Shared>,
        queue: Receiver<Job>,
    ) -> std::result::Result<Self, DatabaseError> {
        let open = Open::new(path, &settings, &shared, 0)?;
        Ok(Self {
            path: path.to_owned(),
            settings,
            shared,
            queue,
            commits: Turns::new(TURN_WRITES),
            asked: VecDeque::new(),
            state: State::Open(Box::new(open)),
            sequence_min: 0,
            waiting: None,
        })
    }

    /// Starts the thread. It ends when the queue's other end is gone.
    pub(crate) fn start(mut self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("fhirpool:commit".into()).spawn(move || {
            if std::panic::catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
                tracing::error!("the committer panicked: ending the process");
                std::process::abort();
            }
        })
    }

    fn run(&mut self) {
        loop {
            let alive = match &self.state {
                State::Open(_) => self.work(),
                State::Failed { .. } | State::Closed { .. } => self.recover(),
            };
            if !alive {
                return;
            }
        }
    }

    /// What is to be done next; waits for it. `None` when nothing will come any more.
    fn next(&mut self) -> Option<Job> {
        loop {
            take_in(&self.queue, &mut self.commits, &mut self.asked);
            let next = self.asked.pop_front().or_else(|| self.waiting.take().or_else(|| self.commits.pop()).map(Job::Commit));
            if next.is_some() {
                return next;
            }
            sort_in(self.queue.recv().ok()?, &mut self.commits, &mut self.asked);
        }
    }

    /// Does what waits; `false` when nothing will come any more.
    fn work(&mut self) -> bool {
        let Some(job) = self.next() else { return false };
        let State::Open(open) = &mut self.state else { return true };
        let done = match job {
            Job::Tenant(record, reply) => open.keep_tenant(&self.shared, *record, reply),
            Job::Purge(tenant, reply) => open.purge(&self.shared, &tenant, reply),
            Job::Count(key, more, reply) => open.count(&self.shared, key, more, reply),
            Job::Lend(reply) => {
                let _ = reply.send(Ok(open.database.clone()));
                Ok(())
            }
            job @ (Job::Commit(_) | Job::Append(_)) => {
                // What is asked comes ahead of commits, so there is none among it when it is a commit's turn.
                let (mut appends, mut first) = (Vec::new(), None);
                match job {
                    Job::Append(append) => appends.push(append),
                    Job::Commit(waiting) => first = Some(waiting),
                    _ => {}
                }
                while matches!(self.asked.front(), Some(Job::Append(_))) {
                    if let Some(Job::Append(append)) = self.asked.pop_front() {
                        appends.push(append);
                    }
                }
                let first = first.or_else(|| self.waiting.take()).or_else(|| self.commits.pop());
                let next = || {
                    take_in(&self.queue, &mut self.commits, &mut self.asked);
                    self.commits.pop()
                };
                open.commit_group(&self.shared, self.settings.group_length, appends, first, next, &mut self.waiting)
            }
        };
        if let Err(error) = done {
            self.fail(error);
        }
        true
    }

    fn fail(&mut self, error: fjall::Error) {
        let reason = error.to_string();
        tracing::error!(reason, "a write failed: no more are taken until a probe write succeeds");
        let closed = State::Closed { reason: reason.clone() };
        if let State::Open(open) = std::mem::replace(&mut self.state, closed) {
            self.sequence_min = open.clock.sequence;
            self.state = State::Failed { database: open.database, reason };
        }
    }

    /// Refuses what comes and opens the database again when that can succeed; `false` when nothing will come any more.
    fn recover(&mut self) -> bool {
        let reason = match &self.state {
            State::Open(_) => return true,
            State::Failed { reason, .. } | State::Closed { reason } => reason.clone(),
        };
        let commits = self.waiting.take().into_iter().chain(self.commits.drain()).map(Job::Commit);
        self.asked.drain(..).chain(commits).for_each(|job| refuse(job, &reason));
        let probe_at = Instant::now() + PROBE_INTERVAL;
        if !self.refuse_until(probe_at, &reason) {
            return false;
        }
        match self.probe() {
            Ok(()) => self.reopen(&reason),
            Err(error) => {
                tracing::debug!(%error, "the probe write failed");
                true
            }
        }
    }

    /// Refuses what comes; `false` when nothing will come any more.
    fn refuse_until(&self, time: Instant, reason: &str) -> bool {
        loop {
            match self.queue.recv_timeout(time.saturating_duration_since(Instant::now())) {
                Ok(job) => refuse(job, reason),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if Instant::now() >= time {
                return true;
            }
        }
    }

    fn probe(&self) -> std::io::Result<()> {
        if self.shared.faults.is_disk_full() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let path = self.path.join("probe");
        let write = || {
            let mut file = std::fs::File::create(&path)?;
            file.write_all(&vec![0x5A; PROBE_BYTES])?;
            file.sync_all()
        };
        let written = write();
        std::fs::remove_file(&path)?;
        written
    }

    fn reopen(&mut self, reason: &str) -> bool {
        self.shared.publish(None);
        if let State::Failed { database, .. } = &self.state {
            // Readers finish with the old pictures; new ones are refused.
            while !database.is_unused() {
                if !self.refuse_until(Instant::now() + Duration::from_millis(5), reason) {
                    return false;
                }
            }
        }
        // Closes the old one first.
        self.state = State::Closed { reason: reason.to_owned() };
        match Open::new(&self.path, &self.settings, &self.shared, self.sequence_min) {
            Ok(open) => {
                tracing::info!("the database is open again");
                self.state = State::Open(Box::new(open));
            }
            Err(error) => {
                tracing::error!(%error, "the database cannot be opened again");
                self.state = State::Closed { reason: error.to_string() };
            }
        }
        true
    }
}

impl Open {
    fn new(path: &Path, settings: &Settings, shared: &Shared, sequence_min: u64) -> std::result::Result<Self, DatabaseError> {
        let database = Database::open(path, settings)?;
        check_format(&database)?;
        let snapshot = database.snapshot();
        let mut clock = Clock::read(&snapshot)?;
        clock.sequence = clock.sequence.max(sequence_min);
        for (_, tenant) in read_tenants(&snapshot)?.all() {
            shared.tenants.insert(tenant.number, tenant.record);
        }
        let picture = Arc::new(Picture { snapshot, sequence: clock.sequence, tenants: shared.tenants.clone() });
        shared.publish(Some(Arc::clone(&picture)));
        let recent = Recent::new(clock.sequence, settings.recent_changes, settings.recent_bytes);
        Ok(Self { database, picture, clock, recent })
    }

    fn commit_group(
        &mut self,
        shared: &Shared,
        length_max: usize,
        appends: Vec<Append>,
        first: Option<Box<Waiting>>,
        mut next: impl FnMut() -> Option<Box<Waiting>>,
        left_over: &mut Option<Box<Waiting>>,
    ) -> std::result::Result<(), fjall::Error> {
        let writes = first.as_ref().map_or(0, |first| first.commit.writes());
        let writes = writes + appends.iter().map(Append::writes).sum::<usize>();
        let mut group = Group::new(self.database.batch(writes), self.clock);
        let appended: Vec<_> = appends.into_iter().map(|append| group.append(append)).collect();
        let mut answers = Vec::new();
        let mut job = first;
        while let Some(waiting) = job {
            if group.conflicts(&waiting.commit) || !group.has_room_for(&waiting.commit) {
                *left_over = Some(waiting);
                break;
            }
            let Waiting { commit, reply, room } = *waiting;
            let mut ground = Ground { shared, picture: &self.picture, recent: &mut self.recent };
            answers.push((reply, group.add(&mut ground, commit), room));
            if answers.len() >= length_max || group.writes() >= GROUP_WRITES_MAX {
                break;
            }
            job = next();
        }
        let clock = group.clock;
        let written = match group.writes() {
            0 => Ok(()),
            _ => write(&self.database, shared, group),
        };
        let has_changes = clock != self.clock || !appended.is_empty();
        self.clock = clock;
        if written.is_ok() && has_changes {
            self.publish(shared);
        }
        for (reply, outcome, room) in answers {
            // Ahead of the answer: whoever has it may come again at once.
            drop(room);
            let outcome = match &written {
                Ok(()) => outcome,
                Err(error) => Err(StorageError::Unavailable(error.to_string())),
            };
            // Whoever does not wait any more does not care.
            let _ = reply.send(outcome);
        }
        for reply in appended {
            let _ = reply.send(match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(StorageError::Unavailable(error.to_string())),
            });
        }
        written
    }

    fn count(
        &mut self,
        shared: &Shared,
        key: [u8; 5],
        more: u64,
        reply: oneshot::Sender<Result<u64>>,
    ) -> std::result::Result<(), fjall::Error> {
        let there = match read_count(&self.picture.snapshot, &key) {
            Ok(there) => there,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        let sum = there.saturating_add(more);
        if more == 0 {
            let _ = reply.send(Ok(sum));
            return Ok(());
        }
        let mut batch = self.database.batch(1);
        batch.insert(Space::Meta, key, sum.to_be_bytes());
        let written = batch.commit();
        if written.is_ok() {
            self.publish(shared);
        }
        let _ = reply.send(match &written {
            Ok(()) => Ok(sum),
            Err(error) => Err(StorageError::Unavailable(error.to_string())),
        });
        written
    }

    pub(crate) fn publish(&mut self, shared: &Shared) {
        let snapshot = self.database.snapshot();
        self.picture = Arc::new(Picture { snapshot, sequence: self.clock.sequence, tenants: shared.tenants.clone() });
        shared.publish(Some(Arc::clone(&self.picture)));
    }
}

/// Takes everything out of the queue.
fn take_in(queue: &Receiver<Job>, commits: &mut Turns<TenantId, Box<Waiting>>, asked: &mut VecDeque<Job>) {
    while let Ok(job) = queue.try_recv() {
        sort_in(job, commits, asked);
    }
}

fn sort_in(job: Job, commits: &mut Turns<TenantId, Box<Waiting>>, asked: &mut VecDeque<Job>) {
    match job {
        Job::Commit(waiting) => {
            let tenant = waiting.commit.access.tenant().clone();
            commits.push(&tenant, waiting.commit.writes(), waiting);
        }
        other => asked.push_back(other),
    }
}

fn write(database: &Database, shared: &Shared, group: Group) -> std::result::Result<(), fjall::Error> {
    let failure = |kind: std::io::ErrorKind| Err(fjall::Error::Io(kind.into()));
    match shared.faults.take() {
        None => {
            database.wait_for_room()?;
            group.seal().commit()
        }
        Some(Fault::BeforeWrite) => failure(std::io::ErrorKind::StorageFull),
        Some(Fault::AfterWrite) => {
            group.seal().commit()?;
            failure(std::io::ErrorKind::Other)
        }
    }
}

/// Refuses a database of a format that is not known; marks a new one.
pub(crate) fn check_format(database: &Database) -> std::result::Result<(), DatabaseError> {
    match database.snapshot().get(Space::Meta, FORMAT_KEY)? {
        Some(found) => match found.as_ref().try_into().map(u32::from_be_bytes) {
            Ok(FORMAT) => Ok(()),
            Ok(other) => Err(DatabaseError::Format(other)),
            Err(_) => Err(DatabaseError::Content(StorageError::Damaged("the format's record is not 4 bytes".into()))),
        },
        None => {
            let mut batch = database.batch(1);
            batch.insert(Space::Meta, FORMAT_KEY, FORMAT.to_be_bytes());
            Ok(batch.commit()?)
        }
    }
}

fn refuse(job: Job, reason: &str) {
    let refusal = StorageError::Unavailable(reason.to_owned());
    match job {
        Job::Commit(waiting) => drop(waiting.reply.send(Err(refusal))),
        Job::Append(append) => append.refuse(refusal),
        Job::Tenant(_, reply) => drop(reply.send(Err(refusal))),
        Job::Purge(_, reply) => drop(reply.send(Err(refusal))),
        Job::Count(_, _, reply) => drop(reply.send(Err(refusal))),
        Job::Lend(reply) => drop(reply.send(Err(refusal))),
    }
}
