// Lints the OpenAPI document on stdin with Redocly's recommended rules, none of
// them switched off: a line for each problem, and exit code 1 if there is one. A
// WebSocket is answered 101, and by nothing of 2XX: that is no problem.
import { text } from 'node:stream/consumers';
import redocly from '@redocly/openapi-core';

const config = await redocly.createConfig({ extends: ['recommended'] });
const problems = await redocly.lintFromString({ source: await text(process.stdin), absoluteRef: 'openapi.json', config });
const switched = ({ ruleId, location }) => ruleId === 'operation-2xx-response' && location[0]?.pointer.endsWith('~1ws/get/responses');
for (const { severity, ruleId, message, location } of problems.filter((p) => !switched(p))) {
  console.log(`${severity} ${ruleId} at ${location[0]?.pointer}: ${message}`);
}
process.exitCode = problems.some((p) => !switched(p)) ? 1 : 0;
