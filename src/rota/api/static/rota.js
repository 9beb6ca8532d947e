// Live updates of rota's jobs for a page: no build, no dependencies.
//
//   import { watchJob } from "/static/rota.js";
//   const last = await watchJob("/jobs/reports/01a2…", { ticket, onUpdate: (job) => { bar.value = job.progress ?? 0; } });
//
// Whatever cuts it off, it comes back with a new ticket and the id that came last, and asks less often while that fails.

const OVER = new Set(["completed", "dead", "cancelled"]);
const FIRST_PAUSE = 500, LONGEST_PAUSE = 30_000; // milliseconds
// The API sends a line every 15 seconds: a connection that is silent for longer is dead.
const LONGEST_SILENCE = 40_000;
// A ticket may run out on its way, as while a laptop sleeps. So many in a row have not.
const MOST_TICKETS = 3;

/** What asking again cannot mend. `status` is that of HTTP, `problem` the answer of the API, as RFC 9457 writes it. */
export class Refused extends Error {
  name = "Refused";

  constructor(status, problem = {}) {
    super(problem.detail ?? `the API answers ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/**
 * Follow one job to its end. Returns a promise of its last update, which is rejected with Refused if there is no such
 * job, or the ticket is not for it.
 *
 * url       of the job: `links.self` of the answer to an enqueue, below the path of the API
 * ticket    an async function that returns a new ticket; it is called for each connection
 * onUpdate  called with { jobId, status, state, progress, message, error, … }, at first with what the job is now
 * signal    of an AbortController, to follow it no more; the promise is rejected with its reason
 */
export async function watchJob(url, { ticket, onUpdate, signal } = {}) {
  for await (const job of listen(`${url}/events`, { ticket, signal })) {
    onUpdate?.(job);
    if (OVER.has(job.state)) return job;
  }
}

/**
 * Yield the updates of a stream, such as `/events` or `/queues/email/events`, without end.
 *
 * after     the id behind which nothing is known; without it, from now on
 * onReset   called when updates were missed: look at the jobs anew. Without it, the stream is begun anew.
 */
export async function* listen(url, { ticket, signal, after = "", onReset } = {}) {
  for (let pause = FIRST_PAUSE, refused = 0; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      for await (const event of connect(url, ticket, after, signal)) {
        if (event.id) after = event.id;
        if (event.event === "job") yield JSON.parse(event.data);
        // A job that is over has no stream to come back to, and its last update may have come to nobody.
        else if (event.event === "over") after = "";
        else if (event.event === "reset" && onReset) onReset();
        else if (event.event === "reset") {
          after = "";
          break;
        }
        pause = FIRST_PAUSE;
        refused = 0;
      }
    } catch (error) {
      signal?.throwIfAborted();
      const isLate = error.status === 401 && ticket && ++refused < MOST_TICKETS;
      if (error instanceof Refused && !isLate) throw error;
    }
    await sleep(pause * (0.5 + Math.random()), signal);
  }
}

async function* connect(url, ticket, after, signal) {
  const ending = new AbortController();
  signal?.addEventListener("abort", () => ending.abort(), { signal: ending.signal });
  let timer;
  const hear = () => {
    clearTimeout(timer);
    timer = setTimeout(() => ending.abort(), LONGEST_SILENCE);
  };
  try {
    signal?.throwIfAborted();
    const query = new URLSearchParams(after ? { after } : {});
    if (ticket) query.set("ticket", await ticket());
    hear();
    const answer = await fetch(`${url}?${query}`, { cache: "no-store", signal: ending.signal });
    if (!answer.ok) throw await failure(answer);
    if (answer.status === 204) yield { event: "over" };
    else yield* frames(answer.body, hear);
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}

async function* frames(body, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "", end; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    hear();
    text += value;
    for (; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split("\n").filter((line) => !line.startsWith(":"));
      yield Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2)));
    }
  }
}

async function failure(answer) {
  const passes = answer.status >= 500 || answer.status === 408 || answer.status === 429;
  return passes ? new Error(`${answer.status}`) : new Refused(answer.status, await answer.json().catch(() => ({})));
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
