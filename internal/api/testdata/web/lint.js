// Lints the OpenAPI document on stdin with Redocly's recommended rules, none of
// them switched off: a line for each problem, and exit code 1 if there is one.
import { text } from 'node:stream/consumers';
import redocly from '@redocly/openapi-core';

const config = await redocly.createConfig({ extends: ['recommended'] });
const problems = await redocly.lintFromString({ source: await text(process.stdin), absoluteRef: 'openapi.json', config });
for (const { severity, ruleId, message, location } of problems) {
  console.log(`${severity} ${ruleId} at ${location[0]?.pointer}: ${message}`);
}
process.exitCode = problems.length > 0 ? 1 : 0;
