import { CapabilityTool, Client } from 'fhir-kit-client';

import { assert, base, check, finish, refused, token } from './checks.mjs';

const client = new Client({ baseUrl: base, bearerToken: token });
const patient = (family, more = {}) => ({ resourceType: 'Patient', name: [{ family, given: ['Kit'] }], birthDate: '1970-01-01', ...more });
let created;

await check('capabilities', async () => {
  const statement = await client.capabilityStatement();
  assert.equal(statement.fhirVersion, '4.0.1');
  const tool = new CapabilityTool(statement);
  assert.ok(tool.resourceCan('Patient', 'create'));
  assert.ok(tool.resourceSearch('Patient', 'birthdate'));
});
await check('create', async () => {
  created = await client.create({ resourceType: 'Patient', body: patient('Create') });
  assert.ok(created.id);
  const { response } = Client.httpFor(created);
  assert.equal(response.status, 201);
  assert.match(response.headers.get('location'), /\/Patient\/[^/]+\/_history\/1$/);
});
await check('read', async () => {
  const read = await client.read({ resourceType: 'Patient', id: created.id });
  assert.deepEqual(read.name, created.name);
  assert.equal(Client.httpFor(read).response.headers.get('etag'), 'W/"1"');
});
await check('update', async () => {
  const updated = await client.update({ resourceType: 'Patient', id: created.id, body: { ...created, active: true } });
  assert.equal(updated.meta.versionId, '2');
});
await check('update with If-Match', async () => {
  const options = { headers: { 'If-Match': 'W/"1"' } };
  const refusal = await refused(client.update({ resourceType: 'Patient', id: created.id, body: created, options }));
  assert.equal(refusal.response.status, 412);
});
await check('vread', async () => {
  const first = await client.vread({ resourceType: 'Patient', id: created.id, version: '1' });
  assert.equal(first.active, undefined);
});
await check('patch', async () => {
  const jsonPatch = [{ op: 'replace', path: '/active', value: false }];
  await client.patch({ resourceType: 'Patient', id: created.id, jsonPatch });
  assert.equal((await client.read({ resourceType: 'Patient', id: created.id })).active, false);
});
await check('history of a resource, a type and everything', async () => {
  const history = await client.resourceHistory({ resourceType: 'Patient', id: created.id });
  assert.equal(history.type, 'history');
  assert.equal(history.entry.length, 3);
  assert.equal((await client.typeHistory({ resourceType: 'Patient' })).entry.length, 3);
  assert.equal((await client.systemHistory()).entry.length, 3);
});
await check('conditional create', async () => {
  const body = patient('Once', { identifier: [{ system: 'urn:kit', value: 'once' }] });
  const options = { headers: { 'If-None-Exist': 'identifier=urn:kit|once' } };
  const first = await client.create({ resourceType: 'Patient', body, options });
  const second = await client.create({ resourceType: 'Patient', body, options });
  assert.equal(Client.httpFor(second).response.status, 200);
  assert.equal(first.id, second.id);
});
await check('conditional update', async () => {
  const body = patient('Twice', { identifier: [{ system: 'urn:kit', value: 'once' }] });
  const updated = await client.update({ resourceType: 'Patient', searchParams: { identifier: 'urn:kit|once' }, body });
  assert.equal(updated.name[0].family, 'Twice');
  assert.equal(updated.meta.versionId, '2');
});
await check('transaction', async () => {
  const uuid = 'urn:uuid:3f6c8a52-71e5-4c5e-9f39-0d6c1e5b0f01';
  const body = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      { fullUrl: uuid, resource: patient('Transaction'), request: { method: 'POST', url: 'Patient' } },
      {
        resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: uuid } },
        request: { method: 'POST', url: 'Observation' },
      },
    ],
  };
  const response = await client.transaction({ body });
  assert.equal(response.type, 'transaction-response');
  const [first, second] = response.entry.map((entry) => entry.response.location.match(/([^/]+)\/_history/)[1]);
  assert.equal((await client.read({ resourceType: 'Observation', id: second })).subject.reference, `Patient/${first}`);
});
await check('batch', async () => {
  const entry = [
    { request: { method: 'GET', url: `Patient/${created.id}` } },
    { request: { method: 'GET', url: 'Patient/nobody' } },
  ];
  const response = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } });
  assert.deepEqual(response.entry.map((entry) => entry.response.status.slice(0, 3)), ['200', '404']);
  assert.equal(response.entry[1].response.outcome.resourceType, 'OperationOutcome');
});
await check('search', async () => {
  const found = await client.search({ resourceType: 'Patient', searchParams: { family: 'transaction', _include: 'Patient:organization' } });
  assert.equal(found.entry.length, 1);
  assert.equal(found.entry[0].search.mode, 'match');
});
await check('search by POST', async () => {
  const options = { postSearch: true };
  const found = await client.resourceSearch({ resourceType: 'Patient', searchParams: { family: 'transaction' }, options });
  assert.equal(found.total, 1);
});
await check('search over all types', async () => {
  const found = await client.systemSearch({ searchParams: { _type: 'Patient,Observation', _count: '50' } });
  assert.ok(found.entry.length >= 3);
});
await check('search in a compartment', async () => {
  const [owner] = (await client.search({ resourceType: 'Patient', searchParams: { family: 'transaction' } })).entry;
  const compartment = { resourceType: 'Patient', id: owner.resource.id };
  const found = await client.compartmentSearch({ resourceType: 'Observation', compartment, searchParams: { status: 'final' } });
  assert.equal(found.entry.length, 1);
});
await check('pages', async () => {
  const seen = new Set();
  let bundle = await client.search({ resourceType: 'Patient', searchParams: { _count: '1', _sort: '_id' } });
  while (bundle) {
    bundle.entry.forEach((entry) => seen.add(entry.resource.id));
    bundle = await client.nextPage({ bundle });
  }
  assert.equal(seen.size, 3);
});
await check('references', async () => {
  const resolved = await client.resolve({ reference: `Patient/${created.id}` });
  assert.equal(resolved.id, created.id);
  assert.equal((await client.resolve({ reference: `${base}/Patient/${created.id}` })).id, created.id);
});
await check('errors hold an OperationOutcome', async () => {
  const refusal = await refused(client.create({ resourceType: 'Patient', body: patient('Bad', { birthDate: 'yesterday' }) }));
  assert.ok([400, 422].includes(refusal.response.status));
  assert.equal(refusal.response.data.resourceType, 'OperationOutcome');
});
await check('delete', async () => {
  await client.delete({ resourceType: 'Patient', id: created.id });
  const refusal = await refused(client.read({ resourceType: 'Patient', id: created.id }));
  assert.equal(refusal.response.status, 410);
});
await check('SMART configuration', async () => {
  const other = new Client({ baseUrl: base });
  const refusal = await other.smartAuthMetadata().then(() => undefined, (cause) => cause);
  // There is no authorization server to name; what is answered must not be an error of HTTP.
  assert.ok(refusal === undefined || !refusal.response, String(refusal));
});
finish();
