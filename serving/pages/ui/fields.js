// A field of the form for a column: the input that fits its kind, its value as JSON, and its error.

import { el, say, sayAttribute } from "./dom.js";
import { imageInput } from "./image.js";

const INPUTS = {number: {inputmode: "decimal"}, integer: {inputmode: "numeric"}, any: {}, binary: {}, text: {}, category: {}};
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const LONG = 80;
let count = 0;

/** `{name, kind, nullable, element, read, write, mark, isWrong, focus}`. `read` gives a File for an image, undefined for an empty field, and throws for bad JSON. */
export function fieldOf(column, example) {
  const id = `field-${count += 1}`;
  // Without a name: one of `append` would hide the method of its form.
  const made = {id, "aria-describedby": `${id}-wrong`, autocomplete: "off"};
  const input = inputOf(column, example, made);
  const kind = el("small", {say: column.type}), wrong = el("p", {id: `${id}-wrong`, class: "wrong"});
  const optional = column.nullable && el("small", {}, " · ", el("span", {say: "optional"}));
  const element = el("div", {class: "field"}, el("label", {for: id}, el("span", {class: "name"}, column.name), el("span", {class: "kind"}, kind, optional)), input.element, wrong);
  input.write(example);
  return {
    name: column.name, kind: column.type, nullable: column.nullable, element, write: input.write,
    read: () => input.file ? input.file() : valueOf(input.text(), column, example),
    mark(text, values) {
      for (const each of element.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
      if (text) input.node().setAttribute("aria-invalid", "true"), say(wrong, text, values);
      else wrong.textContent = "", wrong.removeAttribute("data-said");
    },
    isWrong: () => wrong.textContent !== "",
    focus: () => input.node().focus(),
  };
}

/** The one field of a model without named columns: a whole row, as JSON. */
export function wholeRow(example) {
  const column = {name: "", type: "array", nullable: false};
  const field = fieldOf(column, example ?? {});
  const name = field.element.querySelector(".name");
  say(name, "body");
  field.element.classList.add("whole");
  return field;
}

function inputOf(column, example, made) {
  if (column.type === "image") return imageInput(made, `${made.id}-hint`);
  if (column.type === "boolean") return selectOf(made, [true, false], value => value ? "isTrue" : "isFalse");
  if (column.choices?.length) return choiceOf(made, [...new Set([...column.choices, ...(example ?? null) === null ? [] : [example]])]);
  const type = column.type === "datetime" ? dateType(example) : "text";
  const isLong = column.type === "array" || String(example ?? "").length > LONG;
  const node = isLong ? el("textarea", {...made, rows: 4, spellcheck: "false"}) : el("input", {...made, type, step: type === "text" ? null : "any", ...INPUTS[column.type]});
  return {element: node, node: () => node, text: () => node.value, write: value => node.value = shown(value, column.type)};
}

/** The input for dates of the example's form; with an offset, or without an example, they are text. */
function dateType(example) {
  if (/^\d{4}-\d\d-\d\d$/.test(example)) return "date";
  if (/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?$/.test(example)) return "datetime-local";
  return /^\d\d:\d\d(:\d\d)?$/.test(example) ? "time" : "text";
}

function selectOf(made, values, key) {
  const node = el("select", made, el("option", {value: "", say: "none"}), values.map(value => el("option", {value: JSON.stringify(value), say: key(value)})));
  return {element: node, node: () => node, text: () => node.value, write: value => node.value = (value ?? null) === null ? "" : JSON.stringify(value)};
}

/** A list of the known values; the last choice opens a field for another one. */
function choiceOf(made, values) {
  const list = el("select", made, el("option", {value: "", say: "none"}), values.map((value, at) => el("option", {value: at}, String(value))), el("option", {value: "other", say: "other"}));
  const other = el("input", {type: "text", hidden: true, "aria-describedby": made["aria-describedby"]});
  sayAttribute(other, "aria-label", "other");
  const isOther = () => list.value === "other";
  list.addEventListener("change", () => {
    other.hidden = !isOther();
    if (isOther()) other.focus();
  });
  return {
    element: el("div", {}, list, other), node: () => isOther() ? other : list,
    text: () => isOther() ? other.value : list.value && String(values[list.value]),
    write(value) {
      const at = values.findIndex(each => String(each) === String(value));
      list.value = (value ?? null) === null ? "" : at < 0 ? "other" : at;
      other.hidden = !isOther();
      other.value = isOther() ? String(value) : "";
    },
  };
}

/** A text as the JSON value of its column. A text that does not fit is sent as it is: the service says what is wrong. */
function valueOf(text, column, example) {
  if (text.trim() === "") return column.type === "text" && text !== "" ? text : undefined;
  if (["boolean", "array"].includes(column.type)) return JSON.parse(text);
  if (column.type === "any") return typeof (example ?? "") === "string" && !/^\s*[[{]/.test(text) ? text : JSON.parse(text);
  if (!["number", "integer"].includes(column.type) || !NUMBER.test(text.trim())) return text;
  // JavaScript would round a larger whole number, and send a number beyond its range as null.
  if (!Number.isFinite(Number(text))) return text;
  return column.type === "integer" && Number.isInteger(Number(text)) && !Number.isSafeInteger(Number(text)) ? text : Number(text);
}

// JSON has one kind of number: a whole value of a column of floats must not look as if it wanted an integer.
function shown(value, type) {
  if (value === null || value === undefined) return "";
  if (type === "array" || typeof value === "object") return JSON.stringify(value, null, type === "array" && !Array.isArray(value) ? 2 : undefined);
  return type === "number" && Number.isInteger(value) && Math.abs(value) < 1e15 ? value.toFixed(1) : String(value);
}
