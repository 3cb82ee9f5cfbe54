// A worker process: one BullMQ worker calls the provider, another delivers the webhooks, so
// that a failing receiver is tried again without another call of the provider.
import { createHmac } from 'node:crypto';
import Anthropic, { APIError } from '@anthropic-ai/sdk';
import { UnrecoverableError, Worker } from 'bullmq';
import { request } from 'undici';
import { AI_QUEUE, RESULT_TTL, WEBHOOK_QUEUE, connect, resultKey, webhookQueue } from './queues.js';

const { BENCH_PROVIDER_URL, BENCH_SECRET, BENCH_STREAM } = process.env;
const concurrency = Number(process.env.BENCH_CONCURRENCY);

// The queue retries; were the SDK to do so too, three attempts would be nine calls.
const anthropic = new Anthropic({ apiKey: 'bench', baseURL: BENCH_PROVIDER_URL, maxRetries: 0 });

// BullMQ asks for null here: a worker waits for Redis for as long as it takes.
const connection = connect({ maxRetriesPerRequest: null });
const webhooks = webhookQueue(connection);

const call = (request) => BENCH_STREAM === '1'
  ? anthropic.messages.stream(request).finalMessage()
  : anthropic.messages.create(request);

const text = (message) => message.content.map((block) => block.text ?? '').join('');

const passing = (status) => status === 408 || status === 409 || status === 429 || status >= 500;

async function generate(job) {
  const { prompt, model, max_tokens } = job.data;
  const start = Date.now();
  const message = await call({ model, max_tokens, messages: [{ role: 'user', content: prompt }] })
    .catch((err) => {
      if (err instanceof APIError && err.status && !passing(err.status)) throw new UnrecoverableError(err.message);
      throw err;
    });
  await finish(job, 'completed', {
    result: text(message),
    model: message.model,
    usage: message.usage,
    duration_ms: Date.now() - start,
  });
}

// The result is stored before its webhook is queued: both commands take the same connection.
async function finish({ id, data }, status, outcome) {
  const body = JSON.stringify({ type: `job.${status}`, job_id: id, status, ...outcome });
  await Promise.all([
    connection.set(resultKey(id), body, 'EX', RESULT_TTL),
    webhooks.add('deliver', { callback_url: data.callback_url }, { jobId: id }),
  ]);
}

function giveUp(job, err) {
  if (!job?.finishedOn) return; // it has attempts left
  finish(job, 'failed', { error: err.message }).catch((err) => console.error(`${job.id}:`, err.message));
}

async function deliver({ id, data }) {
  const body = await connection.get(resultKey(id));
  if (!body) throw new UnrecoverableError('the result has expired');
  const { statusCode, body: answer } = await request(data.callback_url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-Webhook-Signature': `sha256=${createHmac('sha256', BENCH_SECRET).update(body).digest('hex')}`,
    },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  await answer.dump(); // what a receiver says doesn't matter, but its connection can be used again
  if (statusCode >= 200 && statusCode < 300) return;
  const message = `receiver answered ${statusCode}`;
  throw passing(statusCode) ? new Error(message) : new UnrecoverableError(message);
}

const workers = [
  new Worker(AI_QUEUE, generate, { connection, concurrency })
    .on('failed', giveUp),
  new Worker(WEBHOOK_QUEUE, deliver, { connection, concurrency }),
];
for (const worker of workers) worker.on('error', (err) => console.error(`${worker.name}:`, err.message));

await Promise.all(workers.map((worker) => worker.waitUntilReady()));
console.log('ready');

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    await Promise.all(workers.map((worker) => worker.close())); // waits for the jobs in hand
    await connection.quit();
  });
}
