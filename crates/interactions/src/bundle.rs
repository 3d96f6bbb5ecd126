//! Batch and transaction (R4 http.html#transaction).

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::json::{Document, Value};
use fhirpool_fhir::{Issue, IssueCode, ServiceBase};
use fhirpool_storage::Freshness;

use crate::prepare::resource_type_of;
use crate::{BundleOutcome, ErrorKind, Handling, InteractionError, Interactions, Result, Returning};

mod address;
mod batch;
mod deadline;
mod entry;
mod links;
mod look;
mod matching;
mod parallel;
mod progress;
mod resolve;
mod response;
mod stage;
mod touched;
mod transaction;

use entry::Entry;
pub use progress::{BundleProgress, BundleSoFar};
use touched::planned;

/// `POST [base]`
#[derive(Debug, Clone)]
pub struct BundleRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// The Bundle's JSON.
    pub body: Vec<u8>,
    /// What the entries of writes give back.
    pub returning: Returning,
    /// What becomes of unknown parameters of searches.
    pub handling: Handling,
    /// What the answers of searches must know of.
    pub freshness: Freshness,
}

/// What all entries have in common.
#[derive(Debug, Clone)]
struct BundleContext {
    base: ServiceBase,
    returning: Returning,
    handling: Handling,
    freshness: Freshness,
}

/// Which of the two a Bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BundleKind {
    Batch,
    Transaction,
}

impl Interactions {
    /// Does what a Bundle of type `batch` or `transaction` says, and answers entry by entry in its order. The progress says what
    /// it does also where it fails, or where the future is dropped half way.
    pub async fn bundle(&self, access: &WriteAccess, request: BundleRequest<'_>, progress: &BundleProgress) -> Result<BundleOutcome> {
        let BundleRequest { base, body, returning, handling, freshness } = request;
        let context = BundleContext { base: base.to_owned(), returning, handling, freshness };
        let (reader, base) = (access.clone(), context.base.clone());
        let (kind, document, entries) = self
            .work(body.len(), move |this| {
                let document = this.parse(body)?;
                let kind = kind_of(document.root())?;
                let entries = this.entries(&reader, &base, document.root())?;
                Ok((kind, document, entries))
            })
            .await?;
        match kind {
            BundleKind::Batch => {
                let points = entries.iter().map(|entry| entry.as_ref().map_or(1, Entry::points)).sum();
                progress.begin(kind, points, entries.iter().map(|entry| planned(entry.as_ref().ok())).collect());
                self.batch(access, context, document, entries, progress).await
            }
            BundleKind::Transaction => {
                let check = |(index, entry): (usize, Result<Entry>)| entry.map_err(|error| error.within(&format!("Bundle.entry[{index}]")));
                let entries = entries.into_iter().enumerate().map(check).collect::<Result<Vec<Entry>>>()?;
                let points = entries.iter().map(Entry::points).sum();
                progress.begin(kind, points, entries.iter().map(|entry| planned(Some(entry))).collect());
                self.transaction(access, context, document, entries, progress).await
            }
        }
    }

    fn entries(&self, access: &WriteAccess, base: &ServiceBase, bundle: Value<'_>) -> Result<Vec<Result<Entry>>> {
        let Some(entries) = bundle.get("entry") else { return Ok(Vec::new()) };
        if !entries.is_array() {
            return Err(refusal(IssueCode::Structure, "entry must be an array", "entry"));
        }
        if entries.elements().count() > self.limits.bundle_entries_max {
            let text = format!("the Bundle has more than {} entries", self.limits.bundle_entries_max);
            return Err(InteractionError::of(ErrorKind::TooLarge, text).within("Bundle.entry"));
        }
        Ok(entries.elements().map(|entry| Entry::read(access, base, entry)).collect())
    }
}

fn kind_of(bundle: Value<'_>) -> Result<BundleKind> {
    if resource_type_of(bundle)?.name() != "Bundle" {
        return Err(refusal(IssueCode::Invalid, "only a Bundle can be posted here", "resourceType"));
    }
    match bundle.get_str("type").as_deref() {
        Some("batch") => Ok(BundleKind::Batch),
        Some("transaction") => Ok(BundleKind::Transaction),
        Some(_) => Err(refusal(IssueCode::Value, "the Bundle's type must be batch or transaction", "type")),
        None => Err(refusal(IssueCode::Required, "the Bundle has no type", "type")),
    }
}

fn refusal(code: IssueCode, text: &str, element: &str) -> InteractionError {
    InteractionError::new(ErrorKind::BadRequest, Issue::error(code, text).at(format!("Bundle.{element}")))
}

/// The resources of a Bundle's entries, by entry.
fn resources(document: &Document) -> Vec<Option<Value<'_>>> {
    let entries = document.root().get("entry");
    entries.into_iter().flat_map(Value::elements).map(|entry| entry.get("resource")).collect()
}
