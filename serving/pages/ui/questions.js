// Questions of a graph that has stopped to ask (LangGraph's interrupts). All are shown, and answered together.

import { el, say } from "./dom.js";
import { pretty } from "./message.js";

/** The open questions of a message with a field for each; answered ones with their replies. */
export function questionsOf(message, handlers) {
  if (!message.questions.length) return [];
  if (!handlers.isLast() || message.questions.every(question => "reply" in question)) return message.questions.map(answeredView);
  const fields = message.questions.map(fieldOf);
  const reply = event => {
    event.preventDefault();
    try {
      const replies = fields.map(field => field.value());
      replies.forEach((value, at) => fields[at].question.reply = value);
    } catch {
      return;
    }
    handlers.reply(message);
  };
  return [el("form", {class: "interrupts", onsubmit: reply}, el("h3", {say: "interrupted"}),
    fields.map(field => field.element), el("button", {say: "reply"}))];
}

/** The value that continues the graph: the reply, or with several questions the replies by id. */
export function resumeOf(questions) {
  if (questions.length === 1) return questions[0].reply;
  return Object.fromEntries(questions.map(({id, reply}) => [id, reply]));
}

/** What a question says: a text, or an object's own `question` and the rest of it. */
function partsOf(value) {
  if (typeof value === "string") return [value, null];
  const named = value && typeof value === "object" ? ["question", "message", "prompt", "text"].find(name => typeof value[name] === "string") : null;
  if (!named) return [pretty(value), null];
  const {[named]: text, ...rest} = value;
  return [text, Object.keys(rest).length ? rest : null];
}

/** The text of a question. */
export const textOf = question => partsOf(question.value)[0];

let count = 0;

function fieldOf(question) {
  const [text, rest] = partsOf(question.value);
  const id = `reply-${count += 1}`;
  const input = el("textarea", {id, rows: 2, sayPlaceholder: "yourReply", required: true, "aria-describedby": `${id}-wrong`});
  const json = el("input", {type: "checkbox"}), wrong = el("p", {id: `${id}-wrong`, class: "wrong", role: "alert"});
  const choices = [rest?.options, rest?.choices].find(Array.isArray)?.filter(each => typeof each === "string");
  const choice = word => el("button", {class: "quiet", type: "button", onclick: () => input.value = word}, word);
  return {
    question,
    /** The reply is a text, unless the person says that it is JSON. Throws if it is none. */
    value() {
      wrong.textContent = "";
      try {
        return json.checked ? JSON.parse(input.value) : input.value;
      } catch (error) {
        say(wrong, "notJson", {reason: error.message});
        input.focus();
        throw error;
      }
    },
    element: el("div", {class: "interrupt"}, el("label", {for: id}, text), rest && el("pre", {tabindex: "0"}, pretty(rest)), input, wrong,
      el("div", {class: "choices"}, (choices || ["yes", "no"]).map(choice), el("label", {}, json, el("span", {say: "replyIsJson"})))),
  };
}

function answeredView({value, reply}) {
  return el("dl", {class: "answered"}, el("dt", {}, partsOf(value)[0]), el("dd", {}, reply === undefined ? "–" : pretty(reply)));
}
