// The messages of a conversation as elements. A view follows its record: `update` shows what the record has by now.

import { actionsOf } from "./actions.js";
import { el, say, sayAttribute } from "./dom.js";
import { show } from "./markdown.js";
import { questionsOf } from "./questions.js";
import { t } from "./words.js";

/** A message of the person. */
export function questionView(message) {
  const article = el("article", {class: "question", sayLabel: "you"}, el("p", {}, message.text));
  return {element: article, update() {}};
}

/** A message of the model. `handlers` has `reply(message)`, `again()`, `changed()`, `canRate()` and `isLast()`. */
export function answerView(message, handlers) {
  const text = el("div", {class: "markdown"}), wait = el("p", {class: "wait"}, el("span", {say: "answering"}));
  const tools = el("div"), sources = el("div"), questions = el("div"), problem = el("div"), actions = el("div");
  const article = el("article", {class: "answer", sayLabel: "answer"}, tools, text, wait, problem, questions, sources, actions);
  const cite = label => {
    const number = numberOf(label, message.sources);
    return number ? citation(label, number, sources) : null;
  };
  let drawn = {};

  /** Draw a part again if its part of the record has changed. */
  function redraw(name, value, place, make) {
    const now = JSON.stringify(value);
    if (drawn[name] === now) return;
    drawn[name] = now;
    place.replaceChildren(...[make()].flat().filter(Boolean));
  }

  function update() {
    const running = message.state === "running";
    article.setAttribute("aria-busy", String(running));
    if (drawn.cites !== message.sources.length) text.blocks = undefined, text.replaceChildren();
    drawn.cites = message.sources.length;
    show(message.text, text, cite);
    wait.hidden = !running;
    redraw("tools", [message.tools, message.steps], tools, () => [...message.tools.map(toolView), stepsView(message.steps)]);
    redraw("sources", message.sources, sources, () => message.sources.length && sourcesView(message.sources));
    redraw("problem", [message.state, message.failure], problem, () => problemView(message, handlers));
    redraw("questions", [message.state, message.questions, handlers.isLast()], questions, () => questionsOf(message, handlers));
    redraw("actions", [message.state, handlers.canRate()], actions, () => !running && message.text && actionsOf(message, handlers));
  }

  update();
  return {element: article, update};
}

/** The number of the source that a citation names: by number, or by the label that its text begins with; 0: none. */
function numberOf(label, texts) {
  if (/^\d+$/.test(label)) return Number(label) <= texts.length ? Number(label) : 0;
  return texts.findIndex(text => [label, `[${label}]`].some(start => text.startsWith(start))) + 1;
}

function citation(label, number, sources) {
  const open = () => {
    const details = sources.querySelector("details");
    details.open = true;
    const passage = details.querySelectorAll("li")[number - 1];
    passage.tabIndex = -1;
    passage.focus();
  };
  const made = el("button", {class: "cite", type: "button", onclick: open}, label);
  sayAttribute(made, "aria-label", "source", {number});
  return made;
}

function sourcesView(texts) {
  const summary = el("summary");
  say(summary, "sources", {count: texts.length});
  const passages = texts.map(text => {
    const [head, ...rest] = text.split("\n");
    const passage = el("div", {class: "passage markdown"});
    show(rest.length ? rest.join("\n") : head, passage);
    return el("li", {}, rest.length > 0 && el("b", {}, head), passage);
  });
  return el("details", {class: "sources"}, summary, el("ol", {}, passages));
}

function toolView({name, arguments: given, result}) {
  const summary = el("summary");
  say(summary, "tool", {name});
  return el("details", {class: "tool"}, summary, el("h3", {say: "toolArguments"}), el("pre", {tabindex: "0"}, pretty(given)),
    result !== undefined && [el("h3", {say: "toolResult"}), el("pre", {tabindex: "0"}, pretty(result))]);
}

function stepsView(steps) {
  const custom = steps.filter(step => step.data !== undefined);
  if (!custom.length) return null;
  const summary = el("summary");
  say(summary, "steps", {count: custom.length});
  return el("details", {class: "tool"}, summary, el("ol", {}, custom.map(step => el("li", {}, el("b", {}, step.name), " ", pretty(step.data)))));
}

/** JSON with line ends; another text as it is. */
export function pretty(value) {
  try {
    return JSON.stringify(typeof value === "string" ? JSON.parse(value) : value, null, 2);
  } catch {
    return value;
  }
}

function problemView(message, handlers) {
  if (message.state === "stopped") return el("p", {class: "soft", say: "stopped"});
  if (message.state !== "failed") {
    const empty = message.state === "done" && !message.text && !message.questions.length && !message.tools.length;
    return empty && el("p", {class: "soft", say: "emptyAnswer"});
  }
  return failureView(message.failure, el("button", {type: "button", say: "tryAgain", onclick: handlers.again}));
}

/** An error in words, with the id under which the service's log has it. */
export function failureView({key, detail, requestId, retryAfter}, ...more) {
  const title = el("b"), id = el("small");
  say(title, key);
  if (requestId) say(id, "requestId", {id: requestId});
  const after = retryAfter && el("span", {}, t("retryAfter", {seconds: retryAfter}));
  return el("div", {class: "problem", role: "alert"}, title, detail && el("p", {}, detail), after, id, more);
}
