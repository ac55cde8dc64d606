// @ts-check
/**
 * Calls of the service's API. Every change that the dashboard makes is one of these.
 *
 * A failed call throws a `Problem` (the service answered) or `Unreachable` (nothing answered).
 * Unless `quiet` is set, a problem is also shown as a toast. While nothing answers, the page shows
 * its offline line.
 */
import { part } from "./dom.js";
import { toast } from "./toast.js";

/** An answer of the service that says what is wrong, as RFC 9457 problem details. */
export class Problem extends Error {
  /** @param {{title: string, detail?: string, status: number, type?: string}} details */
  constructor(details) {
    super(details.detail || details.title);
    this.title = details.title;
    this.status = details.status;
    this.type = details.type ?? "";
    this.details = details;
  }
}

/** No answer: the service is down, or the network is. */
export class Unreachable extends Error {}

/**
 * @typedef {object} Options
 * @property {boolean} [quiet] show no toast for a problem
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * Get JSON.
 *
 * @param {string} path with its query
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export function get(path, options) {
  return call("GET", path, undefined, options);
}

/**
 * Send JSON, or a form with files, and return the JSON of the answer; null if it has none.
 *
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {object | FormData} [body]
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export function send(method, path, body, options) {
  return call(method, path, body, options);
}

/**
 * Post a form with files, and say how many bytes are sent; return the status and the JSON of the
 * answer. Problems are not shown as toasts.
 *
 * @param {string} path
 * @param {FormData} body
 * @param {{headers?: Record<string, string>, onProgress: (loaded: number) => void}} options
 * @returns {Promise<{status: number, body: any}>}
 */
export function upload(path, body, { headers = {}, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell the progress of what it sends
    request.open("POST", path);
    const all = { Accept: "application/json", ...csrfHeader("POST"), ...headers };
    for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("error", () => {
      showOffline(true);
      reject(new Unreachable("the service does not answer"));
    });
    request.addEventListener("load", () => {
      showOffline(false);
      const answer = new Response(request.responseText, { status: request.status, statusText: request.statusText });
      if (answer.ok) answer.json().then((body) => resolve({ status: request.status, body }), reject);
      else problemOf(answer).then(reject);
    });
    request.send(body);
  });
}

/**
 * Return a path with the parameters that have a value.
 *
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined> | URLSearchParams} parameters
 */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  const entries =
    parameters instanceof URLSearchParams ? parameters.entries() : Object.entries(parameters);
  for (const [name, value] of entries) {
    if (value !== null && value !== undefined && value !== "") query.append(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object | FormData | undefined} body
 * @param {Options} [options]
 */
async function call(method, path, body, { quiet = false, headers = {}, signal } = {}) {
  const request = new Request(path, {
    method,
    headers: { Accept: "application/json", ...csrfHeader(method), ...headers },
    credentials: "same-origin",
    signal: signal ?? null,
    ...bodyOf(body),
  });
  if (body !== undefined && !(body instanceof FormData)) {
    request.headers.set("Content-Type", "application/json");
  }
  const answer = await reach(request);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await problemOf(answer);
  if (!quiet) toast(problem.title, { text: problem.message, kind: "bad" });
  throw problem;
}

/** @param {object | FormData | undefined} body */
function bodyOf(body) {
  if (body === undefined) return {};
  return { body: body instanceof FormData ? body : JSON.stringify(body) };
}

/** @param {string} method @returns {Record<string, string>} */
function csrfHeader(method) {
  const token = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content");
  return token && method !== "GET" ? { "X-CSRF-Token": token } : {};
}

/** @param {Request} request */
async function reach(request) {
  try {
    const answer = await fetch(request);
    showOffline(false);
    return answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    showOffline(true);
    throw new Unreachable("the service does not answer", { cause: error });
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  try {
    return new Problem(await answer.json());
  } catch {
    return new Problem({ title: answer.statusText || "Failed", status: answer.status });
  }
}

const CHECK_MS = 3000;
let isWaiting = false;

/** @param {boolean} isOffline */
function showOffline(isOffline) {
  part("offline").hidden = !isOffline;
  if (isOffline && !isWaiting) {
    isWaiting = true;
    setTimeout(checkAgain, CHECK_MS);
  }
}

async function checkAgain() {
  isWaiting = false;
  try {
    await reach(new Request("/healthz"));
    window.dispatchEvent(new Event("service-back"));
  } catch {
    // the line stays, and the next check is under way
  }
}
