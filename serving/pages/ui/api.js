// Requests to the service, with the key, and its errors.

import { knows } from "./words.js";

const KEY = "api-key";

let held = "";

/** The key lives as long as the tab; where the browser forbids storage, as long as the page. */
export const key = {
  get() {
    try {
      return sessionStorage.getItem(KEY) || held;
    } catch {
      return held;
    }
  },
  set(value) {
    held = value;
    try {
      sessionStorage.setItem(KEY, value);
    } catch {} // forbidden
  },
};

/** An error of the service, or none of its answers. `errors` are the columns at fault. */
export class Failure extends Error {
  constructor({code = "other", detail = "", request_id = "", errors = []}, status = 0, retryAfter = "") {
    super(detail);
    Object.assign(this, {code, detail, errors, status, retryAfter, requestId: request_id});
  }

  /** The key of the words for what happened; the service's own words, `detail`, come after them. */
  get key() {
    return knows(`error_${this.code}`) ? `error_${this.code}` : "error_other";
  }
}

/** A Failure, whatever was thrown. */
export const asFailure = error => error instanceof Failure ? error : new Failure({code: "unreachable", detail: String(error.message)});

/** A good answer to a body of JSON or FormData. Throws a Failure, or the AbortError of `signal`. */
export async function send(path, body, {signal, accept, method} = {}) {
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (accept) headers.Accept = accept;
  const isForm = body instanceof FormData; // the browser sets its type, with the boundary
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const sent = {headers, signal, method: method || (body === undefined ? "GET" : "POST")};
  const answer = await fetch(path, body === undefined ? sent : {...sent, body: isForm ? body : JSON.stringify(body)});
  if (answer.ok) return answer;
  const id = answer.headers.get("X-Request-ID") || "";
  const text = await answer.text();
  throw failureOf(text, answer.status, id, answer.headers.get("Retry-After") || "");
}

/** The Failure of an error's body: a problem object, OpenAI's form, or a proxy's page. */
export function failureOf(text, status = 0, id = "", retryAfter = "") {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {} // a page
  problem = {...problem};
  if (problem.error) problem = {code: problem.error.code, detail: problem.error.message ?? problem.error};
  const detail = typeof problem.detail === "string" && problem.detail || `HTTP ${status}`;
  const errors = Array.isArray(problem.errors) ? problem.errors : [];
  return new Failure({...problem, detail, errors, request_id: problem.request_id || id}, status, retryAfter);
}
