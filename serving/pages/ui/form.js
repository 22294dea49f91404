// The form for models that take rows: fields of the model's columns, errors beside their fields, the answer in words.

import { asFailure, send } from "./api.js";
import { answerOf, summaryOf } from "./answer.js";
import { el, say } from "./dom.js";
import { fieldOf, wholeRow } from "./fields.js";
import { History, tableOf } from "./history.js";
import { fileOf, keptImage } from "./image.js";
import { failureView } from "./message.js";
import { t } from "./words.js";

/** The files of `keptRow`. */
const files = new WeakMap();
const GONE = Symbol("a file that is gone");

/** A row as the body of a request: a form if it has a file, else JSON. */
function bodyOf(row) {
  const values = Object.entries(row ?? {});
  if (!values.some(([, value]) => value instanceof File)) return {inputs: row};
  const form = new FormData();
  for (const [name, value] of values) form.append(name, value instanceof File || typeof value === "string" ? value : JSON.stringify(value));
  return form;
}

/** A row for the history: an image as `{image}`, and its file as long as this page is open. */
async function keptRow(row) {
  const images = Object.entries(row ?? {}).filter(([, value]) => value instanceof File);
  if (!images.length) return row;
  const kept = {...row};
  for (const [name, file] of images) {
    kept[name] = {image: await keptImage(file)};
    files.set(kept[name], file);
  }
  return kept;
}

/** A value of the history for its field: of a large image, the file is gone after a reload. */
function usable(value) {
  if (!value?.image) return value;
  return files.get(value) || (value.image.whole ? fileOf(value.image.whole, value.image.name) : GONE);
}

/** Show the form in a place; `status` names the model. */
export function formView(place, status) {
  const history = new History(status.champion.name, status.caller);
  const fields = status.inputs.length ? status.inputs.map(column => fieldOf(column, status.example?.[column.name])) : [wholeRow(status.example)];
  const button = el("button", {id: "send", say: "predict"});
  const summary = el("p", {id: "summary", class: "wrong", role: "alert"});
  const answer = el("div", {id: "answer", role: "status", "aria-live": "polite"}), past = el("section", {id: "history"});
  const form = el("form", {id: "form", novalidate: true, onsubmit: predict}, el("div", {class: "fields"}, fields.map(field => field.element)), summary, button);

  /** The row, and whether all fields could be read. */
  function read() {
    let good = true;
    const row = {};
    for (const field of fields) {
      field.mark("");
      try {
        const value = field.read();
        if (value !== undefined) row[field.name] = value;
        else if (!field.nullable) field.mark("needed");
      } catch (error) {
        field.mark("notJson", {reason: error.message});
      }
      good &&= !field.isWrong();
    }
    return [status.inputs.length ? row : row[""], good];
  }

  async function predict(event) {
    event.preventDefault();
    const [row, good] = read();
    answer.replaceChildren();
    point();
    if (!good) return;
    button.disabled = true;
    try {
      const said = await (await send("predict", bodyOf(row))).json();
      answer.replaceChildren(...answerOf(said, status));
      history.add({at: Date.now(), row: await keptRow(row), result: summaryOf(said, status), request: said.request_id});
    } catch (error) {
      refused(asFailure(error), await keptRow(row));
    }
    button.disabled = false;
    list();
  }

  /** Mark the fields that an error names; an error of no field is shown as an answer. */
  function refused(failure, row) {
    const named = new Map(failure.errors.filter(({row: at}) => at === 0).map(({column, detail}) => [column, detail]));
    for (const field of fields) if (named.has(field.name)) field.mark("mustBe", {kind: t(field.kind), detail: field.kind === "image" ? failure.detail : named.get(field.name)});
    if (fields.some(field => named.has(field.name))) point();
    else answer.replaceChildren(failureView({...failure, key: failure.key, detail: failure.detail}));
    history.add({at: Date.now(), row, failed: true, result: failure.detail, request: failure.requestId});
  }

  /** Say how many fields are wrong, and go to the first. */
  function point() {
    const wrong = fields.filter(field => field.isWrong());
    if (!wrong.length) summary.textContent = "", summary.removeAttribute("data-said");
    else say(summary, wrong.length === 1 ? "fixField" : "fixFields", {count: wrong.length});
    wrong[0]?.focus();
  }

  function list() {
    past.replaceChildren(...tableOf(history, {
      again(row) {
        for (const field of fields) {
          const value = status.inputs.length ? usable(row[field.name]) : row;
          field.mark(value === GONE ? "chooseAgain" : "");
          field.write(value === GONE ? null : value);
        }
        fields[0].focus();
      },
      clear() {
        history.clear();
        list();
      },
    }));
  }

  list();
  place.replaceChildren(el("h2", {say: "tryIt"}), form, answer, past);
  return {relabel: list};
}
