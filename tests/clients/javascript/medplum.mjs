import { assert, base, check, finish, refused, token } from './checks.mjs';

// The client wants a browser's WebSocket to be there; nothing here uses it.
globalThis.WebSocket ??= class {};
const { MedplumClient, OperationOutcomeError } = await import('@medplum/core');

const root = base.replace(/tenant\/[^/]+$/, '');
const client = new MedplumClient({
  baseUrl: root,
  fhirUrlPath: base.slice(root.length),
  fetch,
  accessToken: token,
  cacheTime: 0,
});
let patient;

await check('create', async () => {
  patient = await client.createResource({ resourceType: 'Patient', name: [{ family: 'Plum', given: ['Med'] }], birthDate: '1980-02-03' });
  assert.ok(patient.id && patient.meta.versionId);
});
await check('read', async () => assert.deepEqual(await client.readResource('Patient', patient.id), patient));
await check('create if none exists', async () => {
  const body = { resourceType: 'Patient', identifier: [{ system: 'urn:plum', value: 'a' }] };
  const first = await client.createResourceIfNoneExist(body, 'identifier=urn:plum|a');
  const second = await client.createResourceIfNoneExist(body, 'identifier=urn:plum|a');
  assert.equal(first.id, second.id);
});
await check('update', async () => {
  patient = await client.updateResource({ ...patient, active: true });
  assert.equal(patient.meta.versionId, '2');
});
await check('update without a change', async () => {
  const same = await client.updateResource(patient);
  assert.equal(same.id, patient.id);
  patient = same;
});
await check('upsert', async () => {
  const body = { resourceType: 'Patient', identifier: [{ system: 'urn:plum', value: 'b' }] };
  const first = await client.upsertResource(body, 'identifier=urn:plum|b');
  const second = await client.upsertResource({ ...body, active: false }, 'identifier=urn:plum|b');
  assert.equal(first.id, second.id);
  assert.equal(second.active, false);
});
await check('patch', async () => {
  const patched = await client.patchResource('Patient', patient.id, [{ op: 'replace', path: '/active', value: false }]);
  assert.equal(patched.active, false);
});
await check('history and versions', async () => {
  const history = await client.readHistory('Patient', patient.id);
  assert.ok(history.entry.length >= 3);
  assert.equal((await client.readVersion('Patient', patient.id, '1')).active, undefined);
});
await check('search', async () => {
  const bundle = await client.search('Patient', 'name=plum&_total=accurate');
  assert.equal(bundle.total, 1);
  assert.equal((await client.searchOne('Patient', { name: 'plum' })).id, patient.id);
  assert.equal((await client.searchResources('Patient', { name: 'nobody' })).length, 0);
});
await check('pages', async () => {
  for (let number = 0; number < 5; number += 1) {
    await client.createResource({ resourceType: 'Basic', code: { text: `basic ${number}` } });
  }
  const seen = new Set();
  for await (const page of client.searchResourcePages('Basic', '_count=2&_sort=_lastUpdated')) {
    assert.ok(page.length <= 2);
    page.forEach((resource) => seen.add(resource.id));
  }
  assert.equal(seen.size, 5);
});
await check('references', async () => {
  assert.equal((await client.readReference({ reference: `Patient/${patient.id}` })).id, patient.id);
});
await check('batch and transaction', async () => {
  for (const type of ['batch', 'transaction']) {
    const entry = [
      { resource: { resourceType: 'Basic', code: { text: type } }, request: { method: 'POST', url: 'Basic' } },
      { request: { method: 'GET', url: `Patient/${patient.id}` } },
    ];
    const response = await client.executeBatch({ resourceType: 'Bundle', type, entry });
    assert.equal(response.type, `${type}-response`);
    assert.deepEqual(response.entry.map((entry) => entry.response.status.slice(0, 3)), ['201', '200']);
    assert.equal(response.entry[1].resource.id, patient.id);
  }
});
await check('reads gathered into a batch by themselves', async () => {
  const gathering = new MedplumClient({ baseUrl: root, fhirUrlPath: base.slice(root.length), fetch, accessToken: token, autoBatchTime: 20 });
  const [own, nobody] = await Promise.allSettled([gathering.readResource('Patient', patient.id), gathering.readResource('Patient', 'nobody')]);
  assert.equal(own.value.id, patient.id);
  assert.ok(nobody.reason instanceof OperationOutcomeError);
});
await check('binary as it is', async () => {
  const binary = await client.createBinary({ data: 'Hello, Binary', filename: 'hello.txt', contentType: 'text/plain' });
  assert.equal(binary.resourceType, 'Binary');
  const content = await client.download(`${base}/Binary/${binary.id}`, { headers: { Accept: 'text/plain' } });
  assert.equal(await content.text(), 'Hello, Binary');
});
await check('refusals', async () => {
  const bad = await refused(client.createResource({ resourceType: 'Patient', birthDate: 'yesterday' }));
  assert.ok(bad instanceof OperationOutcomeError);
  assert.equal(bad.outcome.issue[0].expression[0], 'Patient.birthDate');
  assert.equal((await refused(client.readResource('Patient', 'nobody'))).outcome.issue[0].code, 'not-found');
});
await check('delete', async () => {
  await client.deleteResource('Patient', patient.id);
  assert.ok(await refused(client.readResource('Patient', patient.id)));
});
finish();
