// A plain receiver: the HMAC is over the bytes as they came, which the JSON parser
// hands to its verify hook. It answers with what it read.
import express from 'express';
import { createHmac } from 'crypto';

const app = express();
app.use(express.json({ verify: (req, res, buf) => { req.rawBody = buf; } }));

app.post('/webhook', (req, res) => {
  const sig = createHmac('sha256', process.env.WEBHOOK_SECRET)
    .update(req.rawBody)
    .digest('hex');
  if (req.headers['x-webhook-signature'] !== `sha256=${sig}`) {
    return res.status(401).json({ error: 'bad signature' });
  }
  if (req.body.status === 'completed') {
    const { job_id, status, result, model, usage, duration_ms } = req.body;
    return res.json({ job_id, status, result, model, usage, duration_ms });
  }
  const { job_id, status, error } = req.body;
  res.json({ job_id, status, error });
});

const server = app.listen(process.env.PORT, '127.0.0.1', () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}/webhook`);
});
