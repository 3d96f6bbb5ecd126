//! What passed to DynamoDB, priced as it bills: by the requests and answers themselves, apart from the server's own counting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Passed;

const WRITE_UNIT_BYTES: usize = 1024;
const READ_UNIT_BYTES: usize = 4096;

/// Units of writing, and of reading, of which an eventual one is a half.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Units {
    pub(super) writes: f64,
    pub(super) reads: f64,
}

/// Units by what the items are: the third part of a tenant's key (`R` versions, `X` transactions, `I` identifiers, `Q` locks, `F`
/// log, `A` records of accesses, `M` marks, `K` keys), or `shared` for what is no tenant's.
#[derive(Debug, Clone, Default)]
pub(super) struct Bill(pub(super) BTreeMap<String, Units>);

impl Bill {
    pub(super) fn of(passed: &[Passed]) -> Self {
        let mut bill = Self::default();
        for (request, answer) in passed {
            // A request whose answer was an error of the service is not billed; a failed condition is.
            let answered = answer.as_ref().is_none_or(|answer| answer.status.is_success() || failed_condition(&answer.body));
            if answered {
                let answer = answer.as_ref().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
                bill.add(request.operation(), &request.json(), &answer);
            }
        }
        bill
    }

    pub(super) fn writes(&self, kind: &str) -> f64 {
        self.0.get(kind).map_or(0.0, |units| units.writes)
    }

    pub(super) fn reads(&self, kind: &str) -> f64 {
        self.0.get(kind).map_or(0.0, |units| units.reads)
    }

    /// Of everything that is a tenant's.
    pub(super) fn of_tenants(&self) -> Units {
        let own = self.0.iter().filter(|(kind, _)| *kind != "shared").map(|(_, units)| units);
        own.fold(Units::default(), |all, units| Units { writes: all.writes + units.writes, reads: all.reads + units.reads })
    }

    fn add(&mut self, operation: &str, request: &Value, answer: &Value) {
        match operation {
            "PutItem" => self.write(&request["Item"], item_bytes(&request["Item"]).max(item_bytes(&answer["Item"])), 1.0),
            "UpdateItem" => {
                let bytes = item_bytes(&request["Key"]) + item_bytes(&request["ExpressionAttributeValues"]);
                self.write(&request["Key"], bytes, 1.0);
            }
            "DeleteItem" => self.write(&request["Key"], item_bytes(&answer["Attributes"]), 1.0),
            "TransactWriteItems" => {
                for write in
                    request["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object).flat_map(|write| write.values())
                {
                    let item = if write["Item"].is_null() { &write["Key"] } else { &write["Item"] };
                    self.write(item, item_bytes(item), 2.0);
                }
            }
            "GetItem" => self.read(&request["Key"], item_bytes(&answer["Item"]), &request["ConsistentRead"]),
            "Query" => {
                let items = answer["Items"].as_array().into_iter().flatten();
                let bytes = items.map(item_bytes).sum();
                let key = serde_json::json!({ "pk": request["ExpressionAttributeValues"][":partition"] });
                self.read(&key, bytes, &request["ConsistentRead"]);
            }
            "BatchGetItem" => {
                for (table, asked) in request["RequestItems"].as_object().into_iter().flatten() {
                    let keys = asked["Keys"].as_array().map_or(0, Vec::len);
                    let items = answer["Responses"][table].as_array().map(Vec::as_slice).unwrap_or_default();
                    items.iter().for_each(|item| self.read(item, item_bytes(item), &asked["ConsistentRead"]));
                    let first = &asked["Keys"][0];
                    (items.len()..keys).for_each(|_| self.read(first, 0, &asked["ConsistentRead"]));
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, item: &Value, bytes: usize, price: f64) {
        self.kind(item).writes += bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as f64 * price;
    }

    fn read(&mut self, key: &Value, bytes: usize, consistent: &Value) {
        let price = if consistent == &Value::Bool(true) { 1.0 } else { 0.5 };
        self.kind(key).reads += bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64 * price;
    }

    fn kind(&mut self, item: &Value) -> &mut Units {
        let key = item["pk"]["S"].as_str().unwrap_or_default();
        let kind = if key.starts_with("T#") { key.split('#').nth(2).unwrap_or_default() } else { "shared" };
        self.0.entry(kind.to_owned()).or_default()
    }
}

fn failed_condition(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("ConditionalCheckFailed")
}

/// An item's size: its attributes' names and values.
fn item_bytes(item: &Value) -> usize {
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    match kind.as_str() {
        "S" => text(value),
        // In the request they are base64.
        "B" => text(value) / 4 * 3,
        "N" => number_bytes(value),
        "NS" => value.as_array().into_iter().flatten().map(number_bytes).sum(),
        "SS" => value.as_array().into_iter().flatten().map(text).sum(),
        "L" => 3 + value.as_array().into_iter().flatten().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        "M" => 3 + item_bytes(value),
        _ => 1,
    }
}

fn number_bytes(value: &Value) -> usize {
    value.as_str().map_or(0, |digits| digits.len().div_ceil(2) + 1)
}
