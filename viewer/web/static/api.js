/** What the server answered in its one line. */
export class Fault extends Error {}

async function ask(path, options) {
  const answer = await fetch(`/api/${path}`, options).catch((fault) => {
    if (fault.name === "AbortError") throw fault;
    throw new Fault("the server does not answer; is `dubflow inspect` still running?");
  });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Fault(told?.error ?? `${answer.status} ${answer.statusText}`);
}

/** A path of the interface, each part escaped. */
export const path = (...parts) => parts.map((part) => encodeURIComponent(part)).join("/");

export const get = async (where, signal) => (await ask(where, { signal })).json();

export const blob = async (where, signal) => (await ask(where, { signal })).blob();

export const buffer = async (where, signal) => (await ask(where, { signal })).arrayBuffer();

/** Little-endian numbers, as every machine that runs a browser keeps them. */
export const numbers = async (where, Kind, signal) => new Kind(await buffer(where, signal));

export async function post(where, body = {}) {
  const headers = { "X-Dubflow": "1", "Content-Type": "application/json" };
  return (await ask(where, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * The result of an answer that may be a job: waits for it.
 * @param {object} answer - `{job}`, or the result itself.
 * @param {(job: string, progress: object[]) => void} onProgress
 */
export async function finished(answer, onProgress = () => {}) {
  if (!answer.job) return answer;
  for (;;) {
    const { state, progress, result, error } = await get(path("jobs", answer.job));
    if (state === "done") return result;
    if (state !== "running") throw new Fault(error ?? `the job was ${state}`);
    onProgress(answer.job, progress ?? []);
    await pause(250);
  }
}
