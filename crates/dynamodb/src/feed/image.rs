//! Images of the stream as items of the table: the SDK has two types for one thing.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::primitives::Blob as StreamBlob;
use aws_sdk_dynamodbstreams::types::AttributeValue as StreamValue;

use crate::item::Item;

/// The item; `None` where it holds a kind of value that is not known here.
pub(super) fn item(image: &std::collections::HashMap<String, StreamValue>) -> Option<Item> {
    image.iter().map(|(name, value)| Some((name.clone(), self::value(value)?))).collect()
}

fn value(value: &StreamValue) -> Option<AttributeValue> {
    Some(match value {
        StreamValue::S(text) => AttributeValue::S(text.clone()),
        StreamValue::N(number) => AttributeValue::N(number.clone()),
        StreamValue::B(bytes) => AttributeValue::B(blob(bytes)),
        StreamValue::Bool(is) => AttributeValue::Bool(*is),
        StreamValue::Null(is) => AttributeValue::Null(*is),
        StreamValue::Ss(texts) => AttributeValue::Ss(texts.clone()),
        StreamValue::Ns(numbers) => AttributeValue::Ns(numbers.clone()),
        StreamValue::Bs(all) => AttributeValue::Bs(all.iter().map(blob).collect()),
        StreamValue::L(values) => AttributeValue::L(values.iter().map(self::value).collect::<Option<_>>()?),
        StreamValue::M(members) => AttributeValue::M(item(members)?),
        _ => return None,
    })
}

fn blob(bytes: &StreamBlob) -> aws_sdk_dynamodb::primitives::Blob {
    aws_sdk_dynamodb::primitives::Blob::new(bytes.as_ref())
}
