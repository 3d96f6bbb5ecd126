//! Searches over several types, parameters from odd expressions, and order.

use super::Group;

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "several types",
        resources: &[
            r#"{"resourceType":"Patient","id":"x","meta":{"tag":[{"code":"t"}]},"identifier":[{"value":"1"}]}"#,
            r#"{"resourceType":"Observation","id":"x","status":"final","code":{"text":"x"},"meta":{"tag":[{"code":"t"}]},"identifier":[{"value":"1"}]}"#,
            r#"{"resourceType":"Patient","id":"0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99"}"#,
            r#"{"resourceType":"Binary","id":"x","contentType":"text/plain"}"#,
        ],
        searches: &[
            ("?_tag=t", "Observation/x Patient/x"),
            ("?_id=x", "Binary/x Observation/x Patient/x"),
            ("?_type=Patient,Observation&identifier=1", "Observation/x Patient/x"),
            ("?_type=Patient,Binary", "Binary/x Patient/0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99 Patient/x"),
            ("?_type=Patient&_tag:missing=true", "0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99"),
            ("?_type=Patient,Observation&_sort=-_id", "Observation/x Patient/x Patient/0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99"),
            ("?_type=Patient,Observation&_sort=_lastUpdated", "Observation/x Patient/0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99 Patient/x"),
            ("Patient", "0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99 x"),
            ("Patient?_format=json&_pretty=true&_=123&_dc=4&_totalMethod=count&_tag=t", "x"),
        ],
    },
    Group {
        name: "odd expressions",
        resources: &[
            r#"{"resourceType":"InsurancePlan","id":"1","name":"Gold","alias":["Best"]}"#,
            r#"{"resourceType":"Task","id":"1","status":"requested","intent":"order","for":{"reference":"Patient/1"}}"#,
            r#"{"resourceType":"Task","id":"2","status":"requested","intent":"order","for":{"reference":"Group/1"}}"#,
            r#"{"resourceType":"Library","id":"1","status":"active","type":{"text":"x"},"relatedArtifact":[
                {"type":"depends-on","resource":"http://x/A|1"},{"type":"successor","resource":"http://x/B"}]}"#,
            r#"{"resourceType":"Bundle","id":"1","type":"document","entry":[{"resource":{"resourceType":"Composition","id":"c1"}},
                {"resource":{"resourceType":"Composition","id":"c2"}}]}"#,
            r#"{"resourceType":"Goal","id":"1","lifecycleStatus":"active","description":{"text":"x"},"subject":{"reference":"Patient/1"},
                "startDate":"2020-01-01","target":[{"dueDate":"2021-01-01"},{"dueDate":"2022-01-01"}]}"#,
            r#"{"resourceType":"Medication","id":"1","ingredient":[{"itemReference":{"reference":"Substance/s"}},
                {"itemCodeableConcept":{"coding":[{"code":"i"}]}}]}"#,
            r#"{"resourceType":"Appointment","id":"1","status":"booked","participant":[{"actor":{"reference":"Patient/1"},"status":"accepted"},
                {"actor":{"reference":"Location/1"},"status":"accepted"}]}"#,
        ],
        searches: &[
            ("InsurancePlan?name=gold", "1"),
            ("InsurancePlan?name=best", "1"),
            ("Task?patient=1", "1"),
            ("Task?subject=1", "1 2"),
            ("Library?depends-on=http://x/A", "1"),
            ("Library?depends-on=http://x/B", ""),
            ("Library?successor=http://x/B", "1"),
            ("Bundle?composition=c1", "1"),
            ("Bundle?composition=c2", ""),
            ("Goal?start-date=2020-01-01", "1"),
            ("Goal?target-date=2022-01-01", "1"),
            ("Goal?target-date=2021", "1"),
            ("Medication?ingredient=Substance/s", "1"),
            ("Medication?ingredient-code=i", "1"),
            ("Appointment?patient=1&location=1", "1"),
            ("Appointment?practitioner=1", ""),
            ("Appointment?actor=Location/1", "1"),
        ],
    },
    Group {
        name: "order",
        resources: &[
            r#"{"resourceType":"Patient","id":"1","birthDate":"1980-01-01","name":[{"family":"B"},{"family":"Z"}]}"#,
            r#"{"resourceType":"Patient","id":"2","birthDate":"1970-01-01","name":[{"family":"C"},{"family":"D"}]}"#,
            r#"{"resourceType":"Patient","id":"3","birthDate":"1980-01-01","name":[{"family":"A"}]}"#,
            r#"{"resourceType":"Patient","id":"4","birthDate":"1980-01-01"}"#,
            r#"{"resourceType":"Patient","id":"5","name":[{"family":"A"}]}"#,
        ],
        searches: &[
            ("Patient?_sort=family", "3 5 1 2 4"),
            ("Patient?_sort=-family", "1 2 3 5 4"),
            ("Patient?_sort=birthdate,family", "2 3 1 4 5"),
            ("Patient?_sort=-birthdate,-family", "1 3 4 2 5"),
            ("Patient?_sort=birthdate&_sort=-_id", "2 4 3 1 5"),
            ("Patient?_sort=-birthdate,_id&family=a", "3 5"),
        ],
    },
];
