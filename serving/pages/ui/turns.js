// One turn of a conversation: asks the service, and gives the events of its answer in one form, whichever route it took.
//
// {kind: "token", text}, {kind: "sources", texts}, {kind: "step", name, data}, {kind: "toolCall", id, name, arguments, inner},
// {kind: "toolResult", id, text, inner}, {kind: "questions", questions: [{id, value}]}, {kind: "answer", text}, {kind: "request", id};
// `inner`: a graph in the node has given its messages already, perhaps this one too.

import { Failure, failureOf, send } from "./api.js";
import { events } from "./sse.js";

/** A graph that keeps conversations is asked with a row and its thread; it knows the earlier turns. */
export const keepsThreads = status => status.inputs.some(column => column.name === "thread_id");

/** Ask. `turn` has `text` or `resume`, and `earlier` messages; `thread` is the conversation's id. */
export function ask(status, thread, turn, signal) {
  return keepsThreads(status) ? ofRow(status, thread, turn, signal) : ofChat(status, turn, signal);
}

/** Delete what the service keeps of a conversation. */
export async function forget(status, thread) {
  if (!keepsThreads(status)) return;
  try {
    await send(`threads?thread_id=${encodeURIComponent(thread)}`, undefined, {method: "DELETE"});
  } catch (error) {
    if (error.code !== "unknown_thread") throw error;
  }
}

async function* ofRow(status, thread, turn, signal) {
  const column = status.inputs.find(each => !["thread_id", "resume"].includes(each.name)).name;
  const row = {thread_id: thread, ...("resume" in turn ? {resume: turn.resume} : {[column]: turn.text})};
  const answer = await send("invoke", {inputs: row}, {signal, accept: "text/event-stream"});
  yield {kind: "request", id: answer.headers.get("X-Request-ID")};
  const paths = [];
  let whole = false;
  for await (const {event, data} of events(answer)) {
    const found = JSON.parse(data);
    if (event === "token") yield {kind: "token", text: found.text};
    else if (event === "update") yield* ofUpdate(found, paths);
    else if (event === "contexts") yield {kind: "sources", texts: found.contexts};
    else if (event === "custom") yield {kind: "step", name: found.path.join(" / "), data: found.data};
    else if (event === "error") throw failureOf(data);
    else if (event === "interrupt") yield {kind: "questions", questions: questionsOf(found.predictions)};
    else if (event === "prediction") yield* ofAnswer(found.predictions);
    whole ||= event === "interrupt" || event === "prediction";
  }
  if (!whole) throw new Failure({code: "cut"});
}

async function* ofChat(status, turn, signal) {
  // A model without a place for earlier messages is asked each question by itself.
  const messages = [...status.history ? turn.earlier : [], {role: "user", content: turn.text}];
  const body = {model: status.champion.name, messages, stream: true};
  const answer = await send("v1/chat/completions", body, {signal});
  yield {kind: "request", id: answer.headers.get("X-Request-ID")};
  const calls = [];
  for await (const {data} of events(answer)) {
    if (data === "[DONE]") {
      for (const call of calls) yield {kind: "toolCall", ...call};
      yield {kind: "answer", text: null};
      return;
    }
    const found = JSON.parse(data);
    if (found.error) throw failureOf(data, 0, answer.headers.get("X-Request-ID"));
    if (found.contexts) yield {kind: "sources", texts: found.contexts};
    const delta = found.choices[0]?.delta || {};
    if (delta.content) yield {kind: "token", text: delta.content};
    for (const part of delta.tool_calls || []) addPart(calls, part);
  }
  throw new Failure({code: "cut"});
}

/** Tool calls come in parts, told apart by their index. */
function addPart(calls, {index, id, function: called = {}}) {
  const call = calls[index] ||= {id: "", name: "", arguments: ""};
  call.id ||= id || "";
  call.name ||= called.name || "";
  call.arguments += called.arguments || "";
}

/** `paths` are those of the updates so far: the update of a node around a graph has all messages of that graph again. */
function* ofUpdate({path, changes}, paths) {
  const inner = paths.some(each => each.length > path.length && path.every((name, at) => name === each[at]));
  paths.push(path);
  if (!changes) return;
  yield {kind: "step", name: path.join(" / ")};
  for (const message of [changes.messages].flat()) {
    for (const call of message?.tool_calls || []) {
      yield {kind: "toolCall", id: call.id, name: call.function.name, arguments: call.function.arguments, inner};
    }
    if (message?.role === "tool") yield {kind: "toolResult", id: message.tool_call_id, text: String(message.content), inner};
  }
}

function questionsOf(prediction) {
  return prediction.interrupts || [{id: "", value: prediction.interrupt}];
}

/** The text of an answer, which may also be an object. */
function* ofAnswer(prediction) {
  const text = typeof prediction === "string" ? prediction : "```json\n" + JSON.stringify(prediction, null, 2) + "\n```";
  yield {kind: "answer", text};
}
