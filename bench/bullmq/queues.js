// What the API and the workers share: the connection, the two queues, where results are.
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

export const AI_QUEUE = 'ai-jobs';
export const WEBHOOK_QUEUE = 'webhooks';

export const connect = (options) =>
  new Redis({ host: '127.0.0.1', port: Number(process.env.BENCH_REDIS_PORT), ...options })
    .on('error', (err) => console.error('redis:', err.message));

// A finished job leaves its queue at once: what callers may ask for is kept under a key of
// its own, which expires. Failed jobs stay as the dead letter queue.
const retention = { removeOnComplete: true, removeOnFail: { age: 7 * 24 * 3600, count: 5000 } };

export const aiQueue = (connection) => new Queue(AI_QUEUE, {
  connection,
  defaultJobOptions: { ...retention, attempts: 3, backoff: { type: 'exponential', delay: 5000 } },
});

export const webhookQueue = (connection) => new Queue(WEBHOOK_QUEUE, {
  connection,
  defaultJobOptions: { ...retention, attempts: 8, backoff: { type: 'exponential', delay: 1000, jitter: 0.5 } },
});

export const RESULT_TTL = 24 * 3600;
export const resultKey = (id) => `result:${id}`;
