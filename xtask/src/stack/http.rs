//! The few requests that this program sends to the parts.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ACCESS_KEY, REGION};
use crate::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Status and body of a GET; `None` if there was no answer.
pub(super) fn get(url: &str) -> Option<(u16, String)> {
    let mut response = agent().get(url).call().ok()?;
    Some((response.status().as_u16(), response.body_mut().read_to_string().ok()?))
}

/// One call of the JSON protocol of AWS, in the form that the local parts take: they read the service out of the signature's scope
/// and check no signature.
pub(super) fn call(address: &str, service: &str, target: &str, body: &Value) -> Result<Value, Failure> {
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0");
    let request = agent().post(address).header("X-Amz-Target", target).header("Authorization", authorization);
    let mut response = request.content_type("application/x-amz-json-1.1").send(body.to_string())?;
    let text = response.body_mut().read_to_string()?;
    if response.status().is_success() {
        Ok(serde_json::from_str(&text)?)
    } else {
        Err(format!("{target}: {} {text}", response.status()).into())
    }
}

/// Whether KMS knows the key.
pub(super) fn has_key(address: &str, key: &str) -> bool {
    call(address, "kms", "TrentService.DescribeKey", &json!({ "KeyId": key })).is_ok()
}

/// Makes a symmetric key and returns its id.
pub(super) fn create_key(address: &str) -> Result<String, Failure> {
    let answer = call(address, "kms", "TrentService.CreateKey", &json!({ "Description": "fhirpool" }))?;
    let id = answer.pointer("/KeyMetadata/KeyId").and_then(Value::as_str);
    Ok(id.ok_or("KMS made a key without an id")?.to_owned())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).build().into()
}
