// Below an answer: copy it, rate it, correct it. Ratings and corrections go to /feedback.

import { asFailure, send } from "./api.js";
import { announce, el, say, thumb as picture } from "./dom.js";
import { t } from "./words.js";

/** The row of buttons. `message` is the record; `handlers` has `canRate()` and `changed()`. */
export function actionsOf(message, handlers) {
  const said = el("span", {class: "soft", role: "status"});
  const row = el("div", {class: "actions"});
  if (navigator.clipboard) row.append(el("button", {class: "quiet", type: "button", say: "copy", onclick: () => copy(message.text, said)}));
  const place = el("div");
  if (message.request && handlers.canRate()) {
    const thumbs = [["good", "up"], ["bad", "down"]].map(([word, thumb]) =>
      el("button", {class: "icon", type: "button", sayLabel: word, "aria-pressed": String(message.rating === thumb), onclick: () => rate(thumb)}, picture(thumb === "up")));
    const rate = async thumb => {
      // A correction says more than a thumb, and the latest outcome counts.
      if (message.correction === undefined && !await saved(message, {thumb}, said)) return;
      message.rating = thumb;
      thumbs.forEach((button, at) => button.setAttribute("aria-pressed", String(thumb === ["up", "down"][at])));
      handlers.changed();
    };
    const edit = el("button", {class: "quiet", type: "button", say: "correct", "aria-expanded": "false"});
    edit.addEventListener("click", () => correct(message, place, edit, said, handlers));
    row.append(...thumbs, edit);
  }
  row.append(said);
  if (message.request) {
    const id = el("small", {class: "soft id"});
    say(id, "request", {id: message.request});
    row.append(id);
  }
  return [row, place];
}

async function copy(text, said) {
  await navigator.clipboard.writeText(text);
  say(said, "copied");
}

/** Send an outcome; whether it was taken. */
async function saved(message, outcome, said) {
  try {
    await send("feedback", {request_id: message.request, outcome});
    say(said, "thanks");
    return true;
  } catch (error) {
    const failure = asFailure(error);
    said.textContent = `${t("notSaved")} ${failure.detail || t(failure.key)}`;
    announce(said.textContent);
    return false;
  }
}

function correct(message, place, edit, said, handlers) {
  const close = () => {
    place.replaceChildren();
    edit.setAttribute("aria-expanded", "false");
    edit.focus();
  };
  if (place.hasChildNodes()) return close();
  const input = el("textarea", {rows: 5, value: message.correction ?? message.text});
  const save = async event => {
    event.preventDefault();
    if (!input.value.trim() || !await saved(message, input.value, said)) return;
    message.correction = input.value;
    handlers.changed();
    close();
  };
  place.replaceChildren(el("form", {class: "correction", onsubmit: save, onkeydown: event => event.key === "Escape" && close()},
    el("label", {}, el("span", {say: "correction"}), input),
    el("button", {say: "save"}), el("button", {class: "quiet", type: "button", say: "cancel", onclick: close})));
  edit.setAttribute("aria-expanded", "true");
  input.focus();
}
