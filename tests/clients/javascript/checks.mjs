// Tries one thing after another and says how each went.

import { strict as assert } from 'node:assert';

export const base = process.env.FHIR_BASE;
export const token = process.env.FHIR_TOKEN;
export { assert };

let failed = 0;

export async function check(name, attempt) {
  try {
    await attempt();
    console.log(`ok ${name}`);
  } catch (cause) {
    failed += 1;
    console.log(`failed ${name}: ${String(cause?.message ?? cause).replaceAll('\n', ' ').slice(0, 400)}`);
  }
}

export async function refused(promise) {
  try {
    await promise;
  } catch (refusal) {
    return refusal;
  }
  throw new Error('it was not refused');
}

export function finish() {
  process.exit(failed === 0 ? 0 : 1);
}
