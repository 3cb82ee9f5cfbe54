// Checks one signed webhook with npm's standardwebhooks, both ways: it verifies
// the headers, and signs the same. Input: {secrets, id, timestamp, body, signature}
// as JSON on stdin; output: what it signs, one signature a secret, as JSON.
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';

const v = JSON.parse(readFileSync(0));
Date.now = () => v.timestamp * 1000; // the library's clock stands at the moment of signing
const headers = {
  'webhook-id': v.id,
  'webhook-timestamp': String(v.timestamp),
  'webhook-signature': v.signature,
};
const signatures = v.secrets.map((secret) => {
  const webhook = new Webhook(secret);
  webhook.verify(v.body, headers); // throws if it does not
  return webhook.sign(v.id, new Date(v.timestamp * 1000), v.body);
});
console.log(JSON.stringify(signatures));
