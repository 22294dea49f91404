// The chat: a list of conversations, the open one, and the field to ask in.

import { asFailure } from "./api.js";
import { composer } from "./composer.js";
import { Conversations, listOf, newId } from "./conversations.js";
import { announce, el, say } from "./dom.js";
import { answerView, failureView, questionView } from "./message.js";
import { resumeOf, textOf } from "./questions.js";
import { ask, forget, keepsThreads } from "./turns.js";
import { language, t } from "./words.js";

/** Show the chat in a place; `status` names the model. */
export function chatView(place, status) {
  const conversations = new Conversations(status.champion.name, status.caller);
  const side = el("nav", {id: "conversations", sayLabel: "conversations"});
  const toggle = el("button", {id: "show-conversations", class: "quiet", type: "button", "aria-expanded": "false", "aria-controls": "conversations", say: "showConversations", onclick: () => expand(!isExpanded())});
  const log = el("div", {id: "log", role: "log", "aria-live": "off", sayLabel: "answer", tabindex: "0"});
  const field = composer({send: text => begin(text), stop: () => running?.abort(), otherwise: log});
  let now, views = [], running = null, drawn = false;

  const isExpanded = () => toggle.getAttribute("aria-expanded") === "true";
  function expand(open) {
    toggle.setAttribute("aria-expanded", String(open));
    side.classList.toggle("open", open);
  }

  function list() {
    side.replaceChildren(...listOf(conversations, now.id, {
      begin: () => open(fresh()),
      open: conversation => open(conversation),
      async remove(conversation) {
        if (!confirm(t("confirmDelete", {title: conversation.title}))) return;
        if (conversation.id === now.id) running?.abort();
        try {
          await forget(status, conversation.id);
        } catch (error) {
          side.prepend(failureView(recordOf(asFailure(error))));
          return;
        }
        conversations.remove(conversation.id);
        if (conversation.id === now.id) open(fresh());
        else list();
        side.querySelector("button").focus();
      },
      labelOfRemove: ({title}) => t("deleteConversation", {title}),
    }));
  }

  const fresh = () => ({id: newId(), title: "", messages: []});

  function open(conversation) {
    running?.abort();
    now = conversation;
    expand(false);
    list();
    log.replaceChildren();
    views = [];
    if (!now.messages.length) log.append(welcome(status, begin));
    now.messages.forEach(view);
    log.scrollTop = log.scrollHeight;
    field.focus();
  }

  /** Show a message, and return its view. */
  function view(message) {
    if (message.state === "running") message.state = "stopped"; // the page was left
    const made = message.role === "user" ? questionView(message) : answerView(message, handlersOf(message));
    log.append(made.element);
    views.forEach(each => each.update()); // questions of an earlier message cannot be answered any longer
    views.push(made);
    return made;
  }

  function handlersOf(message) {
    const conversation = now;
    return {
      canRate: () => status.feedback,
      isLast: () => now.messages.at(-1) === message,
      changed: () => conversations.update(conversation),
      reply: answered => turn({resume: resumeOf(answered.questions)}),
      again: () => {
        if (running) return;
        const at = now.messages.indexOf(message), question = now.messages[at - 1];
        if (message.resume !== undefined) {
          now.messages.splice(at, 1);
          views.splice(at, 1)[0].element.remove();
          return turn({resume: message.resume});
        }
        now.messages.splice(at - 1, 2);
        views.splice(at - 1, 2).forEach(each => each.element.remove());
        begin(question.text);
      },
    };
  }

  function begin(text) {
    if (running) return;
    if (!now.messages.length) log.replaceChildren();
    field.focus();
    const asked = {role: "user", text};
    const earlier = now.messages.filter(({text: said, state}) => said && state !== "failed").map(each => ({role: each.role, content: each.text}));
    now.messages.push(asked);
    view(asked);
    turn({text, earlier});
  }

  /** Ask, and show the answer as it comes. */
  async function turn(wanted) {
    const conversation = now;
    const message = {role: "assistant", text: "", sources: [], tools: [], steps: [], questions: [], state: "done", request: "", ...("resume" in wanted ? {resume: wanted.resume} : {})};
    conversation.messages.push(message);
    const shown = view(message);
    message.state = "running";
    running = new AbortController();
    const mine = running;
    field.busy(true);
    conversations.save(conversation);
    list();
    announce(t("answering"));
    const update = () => {
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
      shown.update();
      if (atEnd) log.scrollTop = log.scrollHeight;
    };
    const reader = sentences();
    try {
      update();
      for await (const event of ask(status, conversation.id, wanted, mine.signal)) {
        take(message, event, conversation.messages);
        reader(message.text);
        if (!drawn) {
          drawn = true;
          requestAnimationFrame(() => {
            drawn = false;
            update();
          });
        }
      }
      message.state = "done";
    } catch (error) {
      if (mine.signal.aborted) message.state = "stopped";
      else message.state = "failed", message.failure = recordOf(asFailure(error));
    }
    reader(message.text, true);
    announce(endOf(message));
    update();
    if (running === mine) running = null, field.busy(false);
    conversations.update(conversation);
    if (conversation === now) list();
  }

  const root = el("div", {class: "chat"}, side, el("div", {class: "talk"}, toggle, log, field.element));
  place.replaceChildren(root);
  open(fresh());
  return {
    close: () => running?.abort(),
    relabel: () => list(),
  };
}

/** Add an event to the record of an answer, one of the `messages` of its conversation. */
function take(message, event, messages) {
  if (event.kind === "request") message.request = event.id;
  else if (event.kind === "token") message.text += event.text;
  else if (event.kind === "sources") message.sources = event.texts;
  else if (event.kind === "step") message.steps.push({name: event.name, data: event.data});
  else if (event.kind === "toolCall") {
    const call = {id: event.id, name: event.name, arguments: event.arguments};
    if (!event.inner || !messages.some(each => each.tools?.some(tool => isSameCall(tool, call)))) message.tools.push(call);
  } else if (event.kind === "toolResult") {
    const tool = message.tools.find(each => each.id === event.id);
    if (tool && !(event.inner && tool.result !== undefined)) tool.result = event.text;
  }
  else if (event.kind === "questions") message.questions = event.questions;
  else if (event.kind === "answer" && event.text !== null) message.text = event.text;
}

function isSameCall(one, other) {
  return one.id === other.id && one.name === other.name && one.arguments === other.arguments;
}

/** The end of an answer, for screen readers. An error is an alert already. */
function endOf({state, questions}) {
  if (state !== "done") return state === "stopped" ? t("stopped") : "";
  return questions.length ? `${t("interrupted")}: ${questions.map(textOf).join(" ")}` : t("answered");
}

/** What a message keeps of a Failure. */
function recordOf(failure) {
  return {key: failure.key, detail: failure.detail, requestId: failure.requestId, retryAfter: failure.retryAfter};
}

/** A function that says to screen readers what has been added to a text, a sentence at a time. */
function sentences() {
  let said = 0;
  return (text, whole = false) => {
    const rest = text.slice(said);
    const ends = whole ? rest.length : Math.max(...[". ", "? ", "! ", "\n", "。"].map(end => rest.lastIndexOf(end) + 1));
    if (ends <= 0 || !rest.slice(0, ends).trim()) return;
    announce(rest.slice(0, ends).trim());
    said += ends;
  };
}

/** Before the first question: what one may ask. */
function welcome(status, begin) {
  const korean = status.questions.filter(text => /[가-힣]/.test(text));
  const others = status.questions.filter(text => !korean.includes(text));
  const fitting = language() === "ko" ? [...korean, ...others] : [...others, ...korean];
  const title = el("h2");
  say(title, "chatWith", {name: status.champion.name});
  const forgets = !status.history && !keepsThreads(status) && el("p", {class: "soft", say: "eachAlone"});
  return el("div", {class: "welcome"}, title, forgets, fitting.length > 0 && [
    el("p", {id: "examples", class: "soft", say: "examples"}),
    el("ul", {"aria-labelledby": "examples"}, fitting.slice(0, 4).map(text =>
      el("li", {}, el("button", {class: "example", type: "button", onclick: () => begin(text)}, text)))),
  ]);
}
