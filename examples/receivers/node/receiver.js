// Receives Ringback's webhooks with Express: verifies, drops duplicates, answers fast.
//
//   WEBHOOK_SECRET=whsec_… PORT=9099 node receiver.js
//
// WEBHOOK_SECRET=NEW,OLD accepts either, while the secret is being replaced.
import express from 'express';
import { Webhook } from 'standardwebhooks';

const secrets = process.env.WEBHOOK_SECRET;
if (!secrets) {
  console.error('receiver: set WEBHOOK_SECRET to what `ringback secret` prints');
  process.exit(2);
}
// A whsec_ secret is base64; any other is used as its bytes.
const webhooks = secrets.split(',').map((secret) =>
  secret.startsWith('whsec_') ? new Webhook(secret) : new Webhook(Buffer.from(secret), { format: 'raw' }));

// verify returns the job, or throws: constant time, five minutes either way.
function verify(body, headers) {
  for (const webhook of webhooks.slice(0, -1)) {
    try {
      return webhook.verify(body, headers);
    } catch {
      continue;
    }
  }
  return webhooks.at(-1).verify(body, headers);
}

// Ids of the deliveries that we have. In production: a table with webhook-id as
// its primary key, written in the transaction that keeps the job's result.
const seen = new Set();

const app = express();

// The signature is over the raw bytes, so no JSON parser may come before it.
// A 413 ends a delivery: choose a limit that the longest answer fits in.
app.post('/hook', express.raw({ type: () => true, limit: '16mb' }), (req, res) => {
  let job;
  try {
    job = verify(req.body, req.headers);
  } catch (err) {
    console.error(`receiver: refused: ${err.message}`);
    return res.status(401).json({ error: 'the signature does not verify' });
  }
  const id = req.get('webhook-id');
  if (!seen.has(id)) {
    console.log(JSON.stringify({ job_id: job.job_id, status: job.status }));
    seen.add(id);
  }
  res.sendStatus(204); // keep first, then answer; long work comes after that
});

const server = app.listen(Number(process.env.PORT ?? 9099), '127.0.0.1', (err) => {
  if (err) throw err;
  console.error(`receiver: listening on http://127.0.0.1:${server.address().port}/hook`);
});
