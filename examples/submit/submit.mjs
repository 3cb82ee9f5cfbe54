// Hands a prompt to Ringback with fetch and prints what it answers: the job's id.
//
//   node submit.mjs "What is a webhook?"
//
// RINGBACK_URL       where Ringback is       (http://127.0.0.1:8080)
// RINGBACK_API_KEY   only if the server has one
// CALLBACK_URL       where the result goes   (http://127.0.0.1:9099/hook)
// MODEL              who answers             (claude-sonnet-5-5)
import { randomUUID } from 'node:crypto';

const { RINGBACK_URL = 'http://127.0.0.1:8080', RINGBACK_API_KEY, CALLBACK_URL, MODEL } = process.env;

// The key makes a repeated submission the same job: one name for this piece of
// work, taken before the first try.
const key = randomUUID();
const body = JSON.stringify({
  prompt: process.argv[2] ?? 'What is a webhook?',
  model: MODEL ?? 'claude-sonnet-5-5',
  callback_url: CALLBACK_URL ?? 'http://127.0.0.1:9099/hook',
  metadata: { from: 'node' },
});

async function submit() {
  const res = await fetch(`${RINGBACK_URL}/api/generate`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
      ...(RINGBACK_API_KEY && { Authorization: `Bearer ${RINGBACK_API_KEY}` }),
    },
    body,
  });
  const answer = await res.json();
  if (res.ok) return answer;
  // 429 and 503 mean "later": nothing was accepted, and the header says when.
  const later = res.status === 429 || res.status === 503;
  throw Object.assign(new Error(answer.error), { retryAfter: later && Number(res.headers.get('Retry-After')) });
}

for (let left = 3; ; left--) {
  try {
    console.log(JSON.stringify(await submit()));
    break;
  } catch (err) {
    const unreachable = err instanceof TypeError; // what fetch throws for the network
    if (left === 0 || !(err.retryAfter || unreachable)) {
      console.error(`submit: ${err.cause?.message ?? err.message}`);
      process.exit(1);
    }
    await new Promise((resume) => setTimeout(resume, 1000 * (err.retryAfter || 1)));
  }
}
