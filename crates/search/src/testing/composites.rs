//! Composites.

use super::Group;

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "composites: observations",
        resources: &[
            r#"{"resourceType":"Observation","id":"pressure","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},
                "component":[
                  {"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":150,"unit":"mm[Hg]"}},
                  {"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":90,"unit":"mm[Hg]"}}]}"#,
            r#"{"resourceType":"Observation","id":"weight","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"},{"code":"W"}]},
                "valueQuantity":{"value":80,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}"#,
            r#"{"resourceType":"Observation","id":"smoker","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"72166-2"}]},
                "valueCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"266919005"}]}}"#,
            r#"{"resourceType":"Observation","id":"text","status":"final","code":{"coding":[{"code":"T"}]},"valueString":"Käse, $5"}"#,
            r#"{"resourceType":"Observation","id":"period","status":"final","code":{"coding":[{"code":"P"}]},
                "valuePeriod":{"start":"2020-01-01","end":"2020-03-01"}}"#,
        ],
        searches: &[
            ("Observation?component-code-value-quantity=8480-6$gt140", "pressure"),
            ("Observation?component-code-value-quantity=8480-6$lt140", ""),
            ("Observation?component-code-value-quantity=http://loinc.org|8462-4$lt140", "pressure"),
            ("Observation?component-code-value-quantity=8462-4$gt140", ""),
            ("Observation?combo-code-value-quantity=8480-6$150||mm[Hg]", "pressure"),
            ("Observation?combo-code-value-quantity=29463-7$ge80", "weight"),
            ("Observation?code-value-quantity=http://loinc.org|29463-7$80|http://unitsofmeasure.org|kg", "weight"),
            ("Observation?code-value-quantity=W$80", "weight"),
            ("Observation?code-value-quantity=|W$80", "weight"),
            ("Observation?code-value-quantity=|29463-7$80", ""),
            ("Observation?code-value-quantity=W$80,W$81", "weight"),
            ("Observation?code-value-concept=72166-2$http://snomed.info/sct|266919005", "smoker"),
            ("Observation?code-value-concept=72166-2$http://snomed.info/sct|", "smoker"),
            ("Observation?code-value-concept=72166-2$other", ""),
            ("Observation?combo-code-value-concept=72166-2$266919005", "smoker"),
            ("Observation?code-value-string=T$kase\\, \\$", "text"),
            ("Observation?code-value-date=P$gt2020-02-01", "period"),
            ("Observation?code-value-date=P$2020", "period"),
            ("Observation?code-value-date=P$gt2020-03-01", ""),
            ("Observation?code-value-quantity:missing=true", "period pressure smoker text"),
        ],
    },
    Group {
        name: "composites: others",
        resources: &[
            r#"{"resourceType":"Group","id":"1","type":"person","actual":true,"characteristic":[
                {"code":{"coding":[{"code":"gender"}]},"valueCodeableConcept":{"coding":[{"code":"mixed"}]},"exclude":false},
                {"code":{"coding":[{"code":"owner"}]},"valueBoolean":true,"exclude":false}]}"#,
            r#"{"resourceType":"DocumentReference","id":"1","status":"current","content":[{"attachment":{"url":"http://a"}}],
                "relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/2"}},{"code":"appends","target":{"reference":"DocumentReference/3"}}]}"#,
            r#"{"resourceType":"MolecularSequence","id":"1","coordinateSystem":1,"referenceSeq":{
                "chromosome":{"coding":[{"code":"12"}]},"windowStart":100,"windowEnd":200},
                "variant":[{"start":110,"end":120},{"start":150,"end":160}]}"#,
            r#"{"resourceType":"ActivityDefinition","id":"1","status":"active","useContext":[
                {"code":{"code":"age"},"valueRange":{"low":{"value":18,"unit":"a"}}},
                {"code":{"code":"focus"},"valueCodeableConcept":{"coding":[{"code":"f1"}]}}]}"#,
        ],
        searches: &[
            ("Group?characteristic-value=gender$mixed", "1"),
            ("Group?characteristic-value=owner$true", "1"),
            ("Group?characteristic-value=owner$mixed", ""),
            ("DocumentReference?relationship=replaces$DocumentReference/2", "1"),
            ("DocumentReference?relationship=replaces$DocumentReference/3", ""),
            ("DocumentReference?relatesto=DocumentReference/3", "1"),
            ("MolecularSequence?chromosome-variant-coordinate=12$ge110$le120", "1"),
            ("MolecularSequence?chromosome-variant-coordinate=12$ge140$le130", ""),
            ("MolecularSequence?chromosome-window-coordinate=12$lt150$gt150", "1"),
            ("ActivityDefinition?context-type-quantity=age$gt20", "1"),
            ("ActivityDefinition?context-type-quantity=focus$gt20", ""),
            ("ActivityDefinition?context-type-value=focus$f1", "1"),
        ],
    },
];
