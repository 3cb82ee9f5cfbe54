// A plain receiver: the JSON parser comes first, the HMAC is over what JSON.stringify
// makes of the body that was parsed. It answers with what it read.
import express from 'express';
import { createHmac } from 'crypto';

const app = express();
app.use(express.json());

app.post('/webhook', (req, res) => {
  const sig = createHmac('sha256', process.env.WEBHOOK_SECRET)
    .update(JSON.stringify(req.body))
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
