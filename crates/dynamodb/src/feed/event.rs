//! Records of the stream as a function is handed them: in DynamoDB's JSON (`{"dynamodb":{"NewImage":{"pk":{"S":…}}}}`).

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{AttributeValue, OperationType, Record, StreamRecord};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhirpool_storage::{FeedRecord, Result, StorageError};
use serde_json::{Map, Value};

use super::{StreamFeed, record};

impl StreamFeed {
    /// What a record of an event tells; `None`: nothing of interest.
    ///
    /// # Errors
    /// What stands in the table cannot be read now, or this is no record of a stream.
    pub async fn tell_event(&self, event: &Value) -> Result<Option<FeedRecord>> {
        let record = read(event).ok_or_else(|| StorageError::Damaged("the event holds no record of a stream".into()))?;
        Ok(record::tell(&self.core, &record).await?.into_record())
    }
}

fn read(event: &Value) -> Option<Record> {
    let data = event.get("dynamodb")?;
    let image = match data.get("NewImage") {
        Some(image) => Some(members(image.as_object()?)?),
        None => None,
    };
    let data = StreamRecord::builder().sequence_number(data.get("SequenceNumber")?.as_str()?).set_new_image(image).build();
    Some(Record::builder().event_name(OperationType::from(event.get("eventName")?.as_str()?)).dynamodb(data).build())
}

fn members(members: &Map<String, Value>) -> Option<HashMap<String, AttributeValue>> {
    members.iter().map(|(name, value)| Some((name.clone(), self::value(value)?))).collect()
}

/// Recurses as deep as the item, which DynamoDB limits to 32 levels.
fn value(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = || value.as_str().map(str::to_owned);
    let texts = || value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text()?),
        "N" => AttributeValue::N(text()?),
        "B" => AttributeValue::B(blob(value)?),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(value.as_bool()?),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "BS" => AttributeValue::Bs(value.as_array()?.iter().map(blob).collect::<Option<_>>()?),
        "L" => AttributeValue::L(value.as_array()?.iter().map(self::value).collect::<Option<_>>()?),
        "M" => AttributeValue::M(members(value.as_object()?)?),
        _ => return None,
    })
}

fn blob(value: &Value) -> Option<Blob> {
    STANDARD.decode(value.as_str()?).ok().map(Blob::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_all_kinds_are_read() {
        let event = json!({"eventName": "INSERT", "dynamodb": {"SequenceNumber": "7", "NewImage": {
            "s": {"S": "x"}, "n": {"N": "1"}, "b": {"B": "AQI="}, "t": {"BOOL": true}, "m": {"M": {"l": {"L": [{"N": "2"}]}}}, "ss": {"SS": ["a"]},
        }}});
        let record = read(&event).expect("a record");
        let image = record.dynamodb.and_then(|data| data.new_image).expect("an image");
        assert_eq!(image["b"], AttributeValue::B(Blob::new([1, 2])));
        assert_eq!(image["m"], AttributeValue::M(HashMap::from([("l".into(), AttributeValue::L(vec![AttributeValue::N("2".into())]))])));
        assert_eq!(image.len(), 6);
        assert!(read(&json!({"eventName": "INSERT"})).is_none());
    }
}
