// The API: keeps a request in Redis as a BullMQ job and answers 202; tells of a job's state.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { aiQueue, connect, resultKey } from './queues.js';

// Without an offline queue a request fails at once while Redis is away, instead of hanging.
const redis = connect({ enableOfflineQueue: false, maxRetriesPerRequest: 1 });
const queue = aiQueue(redis);

const app = express();
app.disable('x-powered-by');
app.disable('etag');
// A prompt of 1 MiB can be twice as long once it is escaped.
app.use(express.json({ limit: '3mb' }));

app.post('/api/generate', async (req, res) => {
  const { prompt, model = 'claude-sonnet-5-5', max_tokens = 4096, callback_url } = req.body ?? {};
  if (!prompt || !URL.canParse(callback_url)) {
    return res.status(400).json({ error: 'prompt and callback_url required' });
  }
  const jobId = randomUUID();
  await queue.add('generate', { prompt, model, max_tokens, callback_url }, { jobId });
  res.status(202).json({ job_id: jobId, status: 'queued' });
});

app.get('/api/jobs/:id', async (req, res) => {
  const { id } = req.params;
  const result = await redis.get(resultKey(id));
  if (result) return res.type('json').send(result);
  const state = await queue.getJobState(id);
  if (state === 'unknown') return res.status(404).json({ error: 'no such job' });
  res.json({ job_id: id, status: { active: 'processing', failed: 'failed' }[state] ?? 'queued' });
});

app.get('/healthz', async (req, res) => {
  await redis.ping();
  res.json({ status: 'ok' });
});

app.use((err, req, res, next) => {
  const status = err.status ?? 503; // without one of its own, it is Redis that is away
  if (status >= 500) console.error(err);
  res.status(status).json({ error: err.message });
});

await queue.waitUntilReady();
const server = app.listen(Number(process.env.BENCH_PORT), '127.0.0.1', (err) => {
  if (err) throw err;
  console.log('ready');
});
// Longer than any client or load balancer keeps an idle connection: they close, never we.
server.keepAliveTimeout = 65_000;

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => server.close(async () => {
    await queue.close();
    await redis.quit();
  }));
}
