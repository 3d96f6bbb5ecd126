//! Content of Binary resources by signed URLs of the server's own: the signature is the right, so there is no token.

use axum::body::Body;
use fhirpool_fhir::{IssueCode, ResourceId, VersionId};
use fhirpool_storage::{SignedAddress, SignedContent, StorageError, Upload, UploadOutcome};
use futures_util::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::tenancy;

/// `PUT /tenant/[tenant]/$content/Binary/[id]/[vid]?[terms and signature]`
pub(crate) async fn upload(call: &Call<'_>, body: Body) -> Result<Answer> {
    let (content, address) = address(call).await?;
    // The bytes are kept as they come: what is encoded would be kept encoded.
    if call.header(&CONTENT_ENCODING)?.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")) {
        return Err(ApiError::unsupported_type("content is uploaded without a Content-Encoding"));
    }
    let length = call.header(&CONTENT_LENGTH)?.and_then(|length| length.parse().ok());
    let bytes = body.into_data_stream().map(|piece| piece.map_err(|_| StorageError::Unavailable(BROKEN_OFF.into())));
    let upload = Upload { content_type: call.header(&CONTENT_TYPE)?, length, bytes: Box::pin(bytes) };
    let done = tokio::time::timeout_at(call.deadline, content.upload(&address, upload)).await;
    let done = done.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, IssueCode::Timeout, "the content took too long to arrive"))?;
    match done.map_err(refusal)? {
        UploadOutcome::Stored => Ok(Answer::new(StatusCode::OK, Content::None)),
        UploadOutcome::AlreadyThere => {
            let text = "the content is there already and stays as it is: update the Binary for new content";
            Err(ApiError::new(StatusCode::PRECONDITION_FAILED, IssueCode::Duplicate, text))
        }
        UploadOutcome::TooLarge(length_max) => Err(ApiError::too_large(usize::try_from(length_max).unwrap_or(usize::MAX))),
        UploadOutcome::LengthUnknown => {
            let text = "the content's length is needed ahead of it: send a Content-Length";
            Err(ApiError::new(StatusCode::LENGTH_REQUIRED, IssueCode::Required, text))
        }
        UploadOutcome::OtherLength => Err(ApiError::bad_request("the content does not have the length that was announced")),
    }
}

/// `GET` of the same.
pub(crate) async fn download(call: &Call<'_>) -> Result<Answer> {
    let (content, address) = address(call).await?;
    let Some((info, bytes)) = content.download(&address).await.map_err(refusal)? else {
        return Err(ApiError::not_found("the content is not there"));
    };
    let content_type = HeaderValue::try_from(info.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    Ok(Answer::new(StatusCode::OK, Content::Stream(content_type, info.length, bytes.into())))
}

/// What an upload that the client did not finish is called inside; nobody is left to read it.
const BROKEN_OFF: &str = "the client broke off";

async fn address<'a>(call: &'a Call<'_>) -> Result<(&'a dyn SignedContent, SignedAddress<'a>)> {
    let nothing = || ApiError::not_found("there is nothing at this address");
    let content = call.state.signed_content.as_deref().ok_or_else(nothing)?;
    if call.resource_type()?.name() != "Binary" {
        return Err(nothing());
    }
    let id = ResourceId::parse(call.names.id.as_deref().unwrap_or_default()).ok_or_else(nothing)?;
    let version = VersionId::parse(call.names.version.as_deref().unwrap_or_default()).ok_or_else(nothing)?;
    tenancy::admit_signed(call.state, &call.tenant).await?;
    Ok((content, SignedAddress { tenant: &call.tenant, id, version, query: call.query() }))
}

pub(crate) fn refusal(error: StorageError) -> ApiError {
    match error {
        StorageError::Denied => {
            let text = "the signature does not fit this request, or its time has passed";
            ApiError::new(StatusCode::FORBIDDEN, IssueCode::Forbidden, text)
        }
        error => fhirpool_interactions::InteractionError::from(error).into(),
    }
}
