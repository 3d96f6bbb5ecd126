import { createRequire } from 'node:module';

import { assert, base, check, finish, refused, token } from './checks.mjs';

const smart = createRequire(import.meta.url)('fhirclient');
// What an application's server holds after a launch; there is no launch here, the token is there already.
const request = { headers: { host: 'localhost' }, url: '/', socket: {}, session: {} };
const client = smart(request, {}).client({ serverUrl: base, tokenResponse: { access_token: token } });
let patient;

await check('version of FHIR', async () => {
  assert.equal(await client.getFhirVersion(), '4.0.1');
  assert.equal(await client.getFhirRelease(), 4);
});
await check('create', async () => {
  patient = await client.create({ resourceType: 'Patient', name: [{ family: 'Smart' }], birthDate: '1990-01-01' });
  assert.ok(patient.id);
});
await check('read', async () => assert.equal((await client.request(`Patient/${patient.id}`)).id, patient.id));
await check('update', async () => {
  patient = await client.update({ ...patient, active: true });
  assert.equal(patient.meta.versionId, '2');
});
await check('patch', async () => {
  const patched = await client.patch(`Patient/${patient.id}`, [{ op: 'replace', path: '/active', value: false }]);
  assert.equal(patched.active, false);
});
await check('search', async () => {
  const found = await client.request(`Patient?family=smart&_sort=birthdate`);
  assert.equal(found.entry[0].resource.id, patient.id);
});
await check('references resolved', async () => {
  await client.create({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${patient.id}` } });
  const bundle = await client.request(`Observation?subject=Patient/${patient.id}`, { resolveReferences: ['subject'], graph: true });
  assert.equal(bundle.entry[0].resource.subject.id, patient.id);
});
await check('pages', async () => {
  for (let number = 0; number < 5; number += 1) {
    await client.create({ resourceType: 'Basic', code: { text: `basic ${number}` } });
  }
  const all = await client.request('Basic?_count=2', { pageLimit: 0, flat: true });
  assert.equal(new Set(all.map((resource) => resource.id)).size, 5);
  let count = 0;
  for await (const resource of client.resources('Basic?_count=2', {})) {
    count += resource.resourceType === 'Basic' ? 1 : 0;
  }
  assert.equal(count, 5);
});
await check('transaction at the base with a slash', async () => {
  const entry = [{ resource: { resourceType: 'Basic', code: { text: 'x' } }, request: { method: 'POST', url: 'Basic' } }];
  const body = JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry });
  const response = await client.request({ url: '', method: 'POST', body, headers: { 'content-type': 'application/json' } });
  assert.equal(response.entry[0].response.status.slice(0, 3), '201');
});
await check('refusals', async () => {
  const refusal = await refused(client.request('Patient/nobody'));
  assert.equal(refusal.status, 404);
  assert.equal((await refused(client.create({ resourceType: 'Patient', birthDate: 'yesterday' }))).status, 422);
});
await check('delete', async () => {
  await client.delete(`Patient/${patient.id}`);
  assert.equal((await refused(client.request(`Patient/${patient.id}`))).status, 410);
});
finish();
