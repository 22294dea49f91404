// Elements are made from text alone: nothing on this page is ever parsed as HTML.

import { t } from "./words.js";

/** An element; children may be lists. `on...` are listeners, `say` and `sayLabel` keys of words.js, other properties attributes. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "say") say(made, value);
    else if (name === "sayLabel") sayAttribute(made, "aria-label", value);
    else if (name === "sayPlaceholder") sayAttribute(made, "placeholder", value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child);
  return made;
}


// What was said in words is said again when the language changes.
const said = new WeakMap();

/** Set the text of an element to a word, with values in it. */
export function say(element, key, values) {
  remember(element, "", key, values);
  element.textContent = t(key, values);
}

/** Set an attribute of an element to a word. */
export function sayAttribute(element, attribute, key, values) {
  remember(element, attribute, key, values);
  element.setAttribute(attribute, t(key, values));
}

function remember(element, attribute, key, values) {
  const all = said.get(element) || new Map();
  all.set(attribute, [key, values]);
  said.set(element, all);
  element.setAttribute("data-said", "");
}

/** Say everything again in the language of now. */
export function sayAgain() {
  for (const element of document.querySelectorAll("[data-said]")) {
    for (const [attribute, [key, values]] of said.get(element) || []) {
      if (attribute) element.setAttribute(attribute, t(key, values));
      else element.textContent = t(key, values);
    }
  }
}

/** A thumb, `up` or not. Fonts of emoji are not everywhere. */
export function thumb(up) {
  const [picture, path] = ["svg", "path"].map(name => document.createElementNS("http://www.w3.org/2000/svg", name));
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  picture.setAttribute("class", up ? "thumb" : "thumb down");
  path.setAttribute("d", "M3 10h4v11H3zM9 10l4-8c1.7 0 3 1.3 3 3l-1 4h5c1.1 0 2 .9 2 2l-2 8c-.3 1.2-1 2-2 2H9z");
  picture.append(path);
  return picture;
}

/** Text for a screen reader, said once the reader is free. */
export function announce(text) {
  let place = document.getElementById("announcer");
  if (!place) {
    place = el("div", {id: "announcer", class: "unseen", role: "status", "aria-live": "polite"});
    document.body.append(place);
  }
  const part = el("p", {}, text);
  place.append(part);
  while (place.childElementCount > 20) place.firstChild.remove();
}
