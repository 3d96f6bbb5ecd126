import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.PreferReturnEnum;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import ca.uhn.fhir.rest.server.exceptions.ResourceNotFoundException;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.hl7.fhir.r4.model.*;

/** Tries HAPI's generic client, first as it is by default (XML preferred), then told to speak JSON. */
public class HapiClient {
    private static int failed = 0;

    interface Attempt {
        void run() throws Exception;
    }

    static void check(String name, Attempt attempt) {
        try {
            attempt.run();
            System.out.println("ok " + name);
        } catch (Throwable cause) {
            failed++;
            String text = String.valueOf(cause).replace('\n', ' ');
            System.out.println("failed " + name + ": " + text.substring(0, Math.min(400, text.length())));
        }
    }

    static void is(Object found, Object expected) {
        if (!java.util.Objects.equals(found, expected)) {
            throw new AssertionError(found + " instead of " + expected);
        }
    }

    static <T extends Throwable> T refused(Class<T> kind, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (Throwable cause) {
            if (kind.isInstance(cause)) {
                return kind.cast(cause);
            }
            throw new AssertionError("refused as " + cause);
        }
        throw new AssertionError("it was not refused");
    }

    static Patient patient(String family) {
        Patient patient = new Patient();
        patient.addName().setFamily(family).addGiven("Hapi");
        patient.setBirthDateElement(new DateType("1970-01-01"));
        return patient;
    }

    public static void main(String[] arguments) {
        FhirContext context = FhirContext.forR4();
        context.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.ONCE);
        context.getRestfulClientFactory().setSocketTimeout(60_000);
        for (EncodingEnum encoding : new EncodingEnum[] {null, EncodingEnum.JSON}) {
            IGenericClient client = context.newRestfulGenericClient(System.getenv("FHIR_BASE"));
            client.registerInterceptor(new BearerTokenAuthInterceptor(System.getenv("FHIR_TOKEN")));
            if (encoding != null) {
                client.setEncoding(encoding);
            }
            String suffix = encoding == null ? "" : " in " + encoding;
            run(client, suffix, encoding == null ? "Default" : "Json");
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    static void run(IGenericClient client, String suffix, String family) {
        String[] id = new String[1];
        check("capabilities" + suffix, () -> {
            CapabilityStatement statement = client.capabilities().ofType(CapabilityStatement.class).execute();
            is(statement.getFhirVersion().toCode(), "4.0.1");
        });
        check("create" + suffix, () -> {
            MethodOutcome outcome = client.create().resource(patient(family)).prefer(PreferReturnEnum.REPRESENTATION).execute();
            is(outcome.getCreated(), true);
            is(outcome.getId().getVersionIdPart(), "1");
            id[0] = outcome.getId().getIdPart();
            is(((Patient) outcome.getResource()).getNameFirstRep().getFamily(), family);
        });
        check("read" + suffix, () -> {
            Patient read = client.read().resource(Patient.class).withId(id[0]).execute();
            is(read.getNameFirstRep().getFamily(), family);
            is(read.getMeta().getVersionId(), "1");
        });
        check("read if changed" + suffix, () -> {
            Patient same = client.read().resource(Patient.class).withId(id[0]).ifVersionMatches("1").returnNull().execute();
            is(same, null);
        });
        check("update" + suffix, () -> {
            Patient changed = patient(family);
            changed.setId(id[0]);
            changed.setActive(true);
            MethodOutcome outcome = client.update().resource(changed).execute();
            is(outcome.getId().getVersionIdPart(), "2");
        });
        check("update as create" + suffix, () -> {
            Patient own = patient("own" + family);
            own.setId("own-" + family);
            MethodOutcome outcome = client.update().resource(own).execute();
            is(outcome.getCreated(), true);
            is(outcome.getId().getIdPart(), "own-" + family);
        });
        check("update of an old version" + suffix, () -> {
            Patient old = patient(family);
            old.setId("Patient/" + id[0] + "/_history/1");
            refused(BaseServerResponseException.class, () -> client.update().resource(old).withAdditionalHeader("If-Match", "W/\"1\"").execute());
        });
        check("vread" + suffix, () -> {
            Patient first = client.read().resource(Patient.class).withIdAndVersion(id[0], "1").execute();
            is(first.hasActive(), false);
        });
        check("JSON patch" + suffix, () -> {
            String patch = "[{\"op\":\"replace\",\"path\":\"/active\",\"value\":false}]";
            client.patch().withBody(patch).withId("Patient/" + id[0]).execute();
            is(client.read().resource(Patient.class).withId(id[0]).execute().getActive(), false);
        });
        check("FHIRPath patch is refused clearly: it is not supported yet" + suffix, () -> {
            Parameters patch = new Parameters();
            Parameters.ParametersParameterComponent operation = patch.addParameter().setName("operation");
            operation.addPart().setName("type").setValue(new CodeType("replace"));
            operation.addPart().setName("path").setValue(new StringType("Patient.active"));
            operation.addPart().setName("value").setValue(new BooleanType(true));
            BaseServerResponseException refusal = refused(BaseServerResponseException.class, () -> client.patch().withFhirPatch(patch).withId("Patient/" + id[0]).execute());
            is(refusal.getStatusCode(), 415);
            is(refusal.getOperationOutcome() instanceof OperationOutcome, true);
        });
        check("history" + suffix, () -> {
            Bundle history = client.history().onInstance("Patient/" + id[0]).returnBundle(Bundle.class).execute();
            if (history.getEntry().size() < 3) {
                throw new AssertionError(history.getEntry().size() + " versions");
            }
            client.history().onType(Patient.class).returnBundle(Bundle.class).count(2).execute();
            client.history().onServer().returnBundle(Bundle.class).since(new Date(0)).execute();
        });
        check("conditional create" + suffix, () -> {
            Patient once = patient("once");
            once.addIdentifier().setSystem("urn:hapi").setValue("once" + family);
            MethodOutcome first = client.create().resource(once).conditional().where(Patient.IDENTIFIER.exactly().systemAndIdentifier("urn:hapi", "once" + family)).execute();
            MethodOutcome second = client.create().resource(once).conditional().where(Patient.IDENTIFIER.exactly().systemAndIdentifier("urn:hapi", "once" + family)).execute();
            is(first.getId().getIdPart(), second.getId().getIdPart());
            MethodOutcome third = client.create().resource(once).conditionalByUrl("Patient?identifier=urn:hapi|once" + family).execute();
            is(third.getId().getIdPart(), first.getId().getIdPart());
        });
        check("conditional update and delete" + suffix, () -> {
            Patient twice = patient("twice");
            twice.addIdentifier().setSystem("urn:hapi").setValue("once" + family);
            MethodOutcome outcome = client.update().resource(twice).conditional().where(Patient.IDENTIFIER.exactly().systemAndIdentifier("urn:hapi", "once" + family)).execute();
            is(outcome.getId().getVersionIdPart(), "2");
            client.delete().resourceConditionalByType(Patient.class).where(Patient.IDENTIFIER.exactly().systemAndIdentifier("urn:hapi", "once" + family)).execute();
            refused(ResourceGoneException.class, () -> client.read().resource(Patient.class).withId(outcome.getId().getIdPart()).execute());
        });
        check("search" + suffix, () -> {
            Bundle found = client.search().forResource(Patient.class).where(Patient.FAMILY.matches().value(family)).and(Patient.BIRTHDATE.afterOrEquals().day("1969-01-01")).returnBundle(Bundle.class).execute();
            is(found.getEntry().size(), 1);
            Bundle sorted = client.search().forResource(Patient.class).sort().descending("_lastUpdated").count(1).include(Patient.INCLUDE_ORGANIZATION).returnBundle(Bundle.class).execute();
            is(sorted.getEntry().size(), 1);
        });
        check("search by POST" + suffix, () -> {
            Bundle found = client.search().forResource(Patient.class).where(Patient.FAMILY.matches().value(family)).usingStyle(SearchStyleEnum.POST).returnBundle(Bundle.class).execute();
            is(found.getEntry().size(), 1);
        });
        check("counts and summaries" + suffix, () -> {
            Bundle count = client.search().forResource(Patient.class).where(Patient.FAMILY.matches().value(family)).summaryMode(SummaryEnum.COUNT).returnBundle(Bundle.class).execute();
            is(count.getTotal(), 1);
            Bundle elements = client.search().forResource(Patient.class).elementsSubset("name").returnBundle(Bundle.class).execute();
            is(((Patient) elements.getEntryFirstRep().getResource()).hasBirthDate(), false);
        });
        check("pages" + suffix, () -> {
            for (int number = 0; number < 5; number++) {
                Basic basic = new Basic();
                basic.getCode().setText("basic" + family);
                client.create().resource(basic).execute();
            }
            Set<String> seen = new HashSet<>();
            Bundle page = client.search().forResource(Basic.class).count(2).returnBundle(Bundle.class).execute();
            while (true) {
                page.getEntry().forEach(entry -> seen.add(entry.getResource().getIdElement().getIdPart()));
                if (page.getLink(Bundle.LINK_NEXT) == null) {
                    break;
                }
                page = client.loadPage().next(page).execute();
            }
            if (seen.size() < 5) {
                throw new AssertionError(seen.size() + " seen");
            }
            client.search().forResource(Basic.class).returnBundle(Bundle.class).execute().getEntry()
                .forEach(entry -> client.delete().resourceById(entry.getResource().getIdElement()).execute());
        });
        check("transaction" + suffix, () -> {
            Bundle bundle = new Bundle().setType(Bundle.BundleType.TRANSACTION);
            String uuid = IdType.newRandomUuid().getValue();
            Patient one = patient("transaction" + family);
            bundle.addEntry().setFullUrl(uuid).setResource(one).getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Patient");
            Observation observation = new Observation().setStatus(Observation.ObservationStatus.FINAL);
            observation.getCode().setText("x");
            observation.setSubject(new Reference(uuid));
            bundle.addEntry().setResource(observation).getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Observation");
            Bundle answer = client.transaction().withBundle(bundle).execute();
            is(answer.getEntry().size(), 2);
            is(answer.getEntryFirstRep().getResponse().getStatus().startsWith("201"), true);
            String made = new IdType(answer.getEntry().get(1).getResponse().getLocation()).getIdPart();
            is(client.read().resource(Observation.class).withId(made).execute().getSubject().getReference().startsWith("Patient/"), true);
        });
        check("entries without an address are refused" + suffix, () -> {
            refused(BaseServerResponseException.class, () -> client.transaction().withResources(List.of(patient("x"))).execute());
        });
        check("binary, read as FHIR" + suffix, () -> {
            Binary binary = new Binary().setContentType("text/plain");
            binary.setContent("Hello, HAPI".getBytes(StandardCharsets.UTF_8));
            MethodOutcome outcome = client.create().resource(binary).execute();
            Binary read = client.read().resource(Binary.class).withId(outcome.getId().getIdPart()).execute();
            is(new String(read.getContent(), StandardCharsets.UTF_8), "Hello, HAPI");
        });
        check("exact decimals and times" + suffix, () -> {
            Observation observation = new Observation().setStatus(Observation.ObservationStatus.FINAL);
            observation.getCode().setText("x");
            observation.setEffective(new DateTimeType("2024-01-01T10:00:00+05:30"));
            observation.setValue(new Quantity().setValue(new java.math.BigDecimal("129.160")));
            MethodOutcome outcome = client.create().resource(observation).execute();
            Observation read = client.read().resource(Observation.class).withId(outcome.getId().getIdPart()).execute();
            is(read.getValueQuantity().getValue().toPlainString(), "129.160");
            is(read.getEffectiveDateTimeType().getValueAsString(), "2024-01-01T10:00:00+05:30");
        });
        check("refusals" + suffix, () -> {
            BaseServerResponseException refusal = refused(BaseServerResponseException.class, () -> client.search().byUrl("Patient?nonsense=1").returnBundle(Bundle.class).execute());
            is(refusal.getStatusCode(), 400);
            is(refusal.getOperationOutcome() instanceof OperationOutcome, true);
            refused(ResourceNotFoundException.class, () -> client.read().resource(Patient.class).withId("nobody").execute());
        });
        check("delete" + suffix, () -> {
            client.delete().resourceById("Patient", id[0]).execute();
            refused(ResourceGoneException.class, () -> client.read().resource(Patient.class).withId(id[0]).execute());
        });
    }
}
