#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn names(definitions: &Definitions, types: &[TypeId]) -> Vec<String> {
    types.iter().map(|id| definitions.type_definition(*id).name.clone()).collect()
}

#[test]
fn tables_load() {
    let definitions = tables::load().unwrap();
    for resource_type in ResourceType::all() {
        let definition = definitions.type_definition(definitions.resource_type_id(resource_type));
        assert_eq!((definition.name.as_str(), definition.kind), (resource_type.name(), TypeKind::Resource));
    }
    let most = definitions.types().map(|(_, definition)| definition.elements.len()).max();
    assert_eq!(most, Some(54));
}

#[test]
fn names_find_types_and_only_them() {
    let definitions = Definitions::r4();
    for (id, definition) in definitions.types() {
        assert_eq!(definitions.type_id(&definition.name), Some(id));
    }
    assert_eq!(definitions.type_id("Patient\0"), None);
    assert_eq!(definitions.type_id(""), None);
}

#[test]
fn types_know_their_bases() {
    let definitions = Definitions::r4();
    let id = |name| definitions.type_id(name).unwrap();
    for (of, ancestor) in [
        ("Age", "Quantity"),
        ("Patient", "DomainResource"),
        ("Bundle", "Resource"),
        ("code", "string"),
        ("canonical", "uri"),
        ("Patient.contact", "BackboneElement"),
        ("Timing.repeat", "Element"),
    ] {
        assert!(definitions.is_a(id(of), id(ancestor)), "{of} is a {ancestor}");
    }
    assert!(!definitions.is_a(id("Bundle"), id("DomainResource")));
    assert!(definitions.type_definition(id("DomainResource")).is_abstract);
    assert_eq!(definitions.type_definition(id("Age")).elements.len(), definitions.type_definition(id("Quantity")).elements.len());
}

#[test]
fn elements_have_types_cardinalities_targets_and_codes() {
    let definitions = Definitions::r4();
    let patient = definitions.type_id("Patient").unwrap();
    let element = |name| definitions.element(patient, name).unwrap();

    assert_eq!(names(&definitions, &element("contact").types), ["Patient.contact"]);
    assert_eq!((element("name").min, element("name").max), (0, None));
    assert_eq!(element("managingOrganization").reference_targets, [ResourceType::parse("Organization").unwrap()]);
    assert!(element("contained").is_resource && element("contained").types.is_empty());
    assert_eq!(names(&definitions, &element("id").types), ["id"]);
    assert!(element("active").is_modifier && element("active").is_summary);

    let gender = definitions.code_list(element("gender").required_codes.unwrap());
    assert_eq!(gender.codes, ["female", "male", "other", "unknown"]);
    assert!(gender.has_coding("http://hl7.org/fhir/administrative-gender", "male"));
    assert!(!gender.has_coding("urn:x", "male"));

    let money = definitions.element(definitions.type_id("Money").unwrap(), "currency").unwrap();
    assert!(definitions.code_list(money.required_codes.unwrap()).has_code("EUR"));
    let binary = definitions.element(definitions.type_id("Binary").unwrap(), "contentType").unwrap();
    assert_eq!(binary.required_codes, None, "media types cannot be enumerated");
}

#[test]
fn content_references_lead_to_the_backbone_type() {
    let definitions = Definitions::r4();
    for (of, element, to) in [
        ("Questionnaire.item", "item", "Questionnaire.item"),
        ("Bundle.entry", "link", "Bundle.link"),
        ("QuestionnaireResponse.item.answer", "item", "QuestionnaireResponse.item"),
        ("Observation.component", "referenceRange", "Observation.referenceRange"),
    ] {
        let of = definitions.type_id(of).unwrap();
        assert_eq!(names(&definitions, &definitions.element(of, element).unwrap().types), [to]);
    }
}

#[test]
fn properties_of_choices_name_element_and_type() {
    let definitions = Definitions::r4();
    let observation = definitions.type_id("Observation").unwrap();
    let property = definitions.property(observation, "valueQuantity").unwrap();
    assert_eq!((property.element.name.as_str(), property.type_id), ("value", definitions.type_id("Quantity")));
    assert_eq!(definitions.type_definition(observation).elements[usize::from(property.place)].name, "value");
    assert_eq!(definitions.property(observation, "valueDateTime").unwrap().type_id, definitions.type_id("dateTime"));
    for unknown in ["value", "valueMoney", "resourceType", "valuequantity", "_status", ""] {
        assert!(definitions.property(observation, unknown).is_none(), "{unknown}");
    }
    let contained = definitions.property(observation, "contained").unwrap();
    assert_eq!(contained.type_id, None);
}

#[test]
fn siblings_belong_to_primitives() {
    let definitions = Definitions::r4();
    let of = |name| definitions.type_id(name).unwrap();
    for (type_name, sibling, element) in
        [("Patient", "_birthDate", "birthDate"), ("HumanName", "_given", "given"), ("Extension", "_valueCode", "value")]
    {
        assert_eq!(definitions.sibling_property(of(type_name), sibling).unwrap().element.name, element);
    }
    for (type_name, sibling) in [
        ("Patient", "_name"),
        ("Patient", "birthDate"),
        ("Patient", "_id"),
        ("Extension", "_url"),
        ("Narrative", "_div"),
        ("Patient", "__birthDate"),
    ] {
        assert!(definitions.sibling_property(of(type_name), sibling).is_none(), "{type_name}.{sibling}");
    }
}

#[test]
fn every_search_parameter_is_there_under_its_number() {
    let definitions = Definitions::r4();
    assert_eq!(definitions.all_search_parameters().count(), 1375);
    for parameter in definitions.all_search_parameters() {
        assert_eq!(definitions.search_parameter_by_number(parameter.number).unwrap().url, parameter.url);
        assert_eq!(definitions.search_parameter_by_url(&parameter.url).unwrap().number, parameter.number);
        assert!(!parameter.bases.is_empty());
        for base in &parameter.bases {
            assert_eq!(definitions.search_parameter(*base, &parameter.code).unwrap().number, parameter.number);
        }
        for component in &parameter.components {
            assert!(definitions.search_parameter_by_url(&component.definition).is_some(), "{}", component.definition);
        }
        assert_eq!(parameter.kind == SearchParameterKind::Composite, !parameter.components.is_empty());
    }
}

#[test]
fn parameters_of_all_types_apply_to_each() {
    let definitions = Definitions::r4();
    for resource_type in ResourceType::all() {
        for code in ["_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"] {
            assert!(definitions.search_parameter(resource_type, code).is_some(), "{resource_type} {code}");
        }
    }
    let of = |name: &str| definitions.search_parameter(ResourceType::parse(name).unwrap(), "_text");
    assert!(of("Patient").is_some() && of("Binary").is_none());
}

#[test]
fn parameters_carry_type_bases_targets_and_parts() {
    let definitions = Definitions::r4();
    let observation = ResourceType::parse("Observation").unwrap();
    let of = |code| definitions.search_parameter(observation, code).unwrap();
    assert_eq!(of("encounter").targets, [ResourceType::parse("Encounter").unwrap(), ResourceType::parse("EpisodeOfCare").unwrap()]);
    assert!(of("patient").bases.len() > 20);
    assert_eq!(of("code-value-quantity").components[1].expression, "value.as(Quantity)");
    assert_eq!(of("value-quantity").kind.code(), "quantity");
    assert!(definitions.search_parameter(observation, "family").is_none());
    let codes: Vec<&str> = definitions.search_parameters(observation).map(|parameter| parameter.code.as_str()).collect();
    assert!(codes.is_sorted() && codes.contains(&"_id") && codes.contains(&"combo-code"));
}

/// Stored keys hold these numbers: a change here breaks every data folder.
#[test]
fn numbers_never_change() {
    let definitions = Definitions::r4();
    for (url, number) in [("Account-identifier", 1), ("Resource-id", 1172), ("clinical-code", 1336), ("medications-status", 1375)] {
        let url = format!("http://hl7.org/fhir/SearchParameter/{url}");
        assert_eq!(definitions.search_parameter_by_url(&url).unwrap().number, ParameterNumber(number), "{url}");
    }
}

#[test]
fn compartments_list_their_members() {
    let definitions = Definitions::r4();
    let of = |name: &str| ResourceType::parse(name).unwrap();
    for owner in ["Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"] {
        assert!(definitions.compartment(of(owner)).is_some(), "{owner}");
    }
    let patient = definitions.compartment(of("Patient")).unwrap();
    assert_eq!(patient.members[&of("Observation")], ["subject", "performer"]);
    assert!(!patient.members.contains_key(&of("Organization")));
    for (member, codes) in definitions.compartments.iter().flat_map(|compartment| &compartment.members) {
        for code in codes {
            assert!(definitions.search_parameter(*member, code).is_some(), "{member} {code}");
        }
    }
}
