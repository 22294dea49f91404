// Markdown within a line: code, links, emphasis. Each character is looked at a bounded number of times.

import { el } from "./dom.js";

const MAX_LABEL = 500, MAX_ADDRESS = 2_000, MAX_OPEN = 20;
const SAFE = ["http:", "https:", "mailto:"];
const BARE = /https?:\/\/[^\s<>"`]+/y;
const CITED = /\[([^[\]\n]{1,80})\](?!\()/y;
const ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&#39;": "'", "&nbsp;": "\u00a0"};
const TAGS = {1: ["em"], 2: ["strong"], 3: ["strong", "em"]};

/**
 * Nodes and texts of a line. `cite(label)` makes the link of a source, named by number or label; null: there is none.
 * Within a link, `links` is false: an address there is text.
 */
export function inline(text, cite, links = true) {
  const out = [], open = [], missing = new Set();
  let plain = "", at = 0;
  const flush = () => {
    if (plain) out.push(plain);
    plain = "";
  };
  const add = (node, length) => {
    flush();
    out.push(node);
    at += length;
  };
  while (at < text.length) {
    const char = text[at];
    if (char === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] || "")) {
      plain += text[at + 1];
      at += 2;
    } else if (char === "`") {
      const [code, length] = codeAt(text, at, missing);
      if (code === null) plain += text.slice(at, at + length), at += length;
      else add(el("code", {}, code), length);
    } else if (char === "[" || (char === "!" && text[at + 1] === "[")) {
      const found = linkAt(text, char === "!" ? at + 1 : at, cite);
      // A picture would be fetched from elsewhere: its address is a link.
      if (found) add(found.node, found.length + (char === "!" ? 1 : 0));
      else plain += char, at += 1;
    } else if (links && char === "h" && text.startsWith("http", at) && !/\w/.test(text[at - 1] || "")) {
      const address = bareAt(text, at);
      const node = address && anchor(address, [address]);
      if (node) add(node, address.length);
      else plain += char, at += 1;
    } else if (char === "*" || char === "_" || char === "~") {
      flush();
      at += emphasisAt(text, at, out, open);
    } else if (char === "\n") {
      // A line's end is a space, as in CommonMark, but models write lines that are meant as such.
      add(el("br"), 1);
    } else if (char === "&") {
      const entity = Object.keys(ENTITIES).find(each => text.startsWith(each, at));
      plain += entity ? ENTITIES[entity] : char;
      at += entity ? entity.length : 1;
    } else {
      plain += char;
      at += 1;
    }
  }
  flush();
  return out.map(asText);
}

/** Code between runs of backticks of one length: its text (null without an end) and its length. */
function codeAt(text, at, missing) {
  let ticks = 1;
  while (text[at + ticks] === "`") ticks += 1;
  if (missing.has(ticks)) return [null, ticks];
  for (let end = text.indexOf("`", at + ticks); end >= 0; end = text.indexOf("`", end)) {
    let run = 1;
    while (text[end + run] === "`") run += 1;
    if (run === ticks) {
      const code = text.slice(at + ticks, end).replace(/\n/g, " ");
      return [/^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code, end + run - at];
    }
    end += run;
  }
  missing.add(ticks);
  return [null, ticks];
}

/** `[label](address)`, or `[label]` for a source. */
function linkAt(text, at, cite) {
  CITED.lastIndex = at;
  const cited = CITED.exec(text);
  const source = cited && cite(cited[1]);
  if (source) return {node: source, length: cited[0].length};
  const middle = text.slice(at, at + MAX_LABEL).indexOf("](");
  if (middle < 0 || text.lastIndexOf("[", at + middle) !== at) return null;
  const rest = text.slice(at + middle + 2, at + middle + 2 + MAX_ADDRESS);
  const found = /^<?((?:[^\s()<>]|\([^\s()<>]*\))+)>?(?:\s+"[^"]*")?\)/.exec(rest);
  if (!found) return null;
  const label = text.slice(at + 1, at + middle) || found[1];
  const node = anchor(found[1], inline(label, () => null, false));
  return node && {node, length: middle + 2 + found[0].length};
}

/** An address in a text, without the punctuation after it. */
function bareAt(text, at) {
  BARE.lastIndex = at;
  let found = (BARE.exec(text) || [""])[0].slice(0, MAX_ADDRESS).replace(/[^\x21-\x7e].*$/, "").replace(/[.,;:!?'*_~\]]+$/, "");
  while (found.endsWith(")") && found.split("(").length < found.split(")").length) found = found.slice(0, -1);
  return found.replace(/[.,;:!?'*_~\]]+$/, "");
}

/** A link to another page; null for an address that is no such link, such as javascript:. */
function anchor(address, children) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!SAFE.includes(url.protocol)) return null;
  return el("a", {href: url.href, target: "_blank", rel: "noopener noreferrer nofollow"}, children);
}

/** A run of `*`, `_` or `~` that may begin emphasis: text, unless its end is found. */
class Mark {
  constructor(text, place) {
    this.text = text;
    this.place = place;
  }
}

/** Close or open emphasis with the run of marks at a place; its length. */
function emphasisAt(text, at, out, open) {
  const char = text[at];
  let length = 1;
  while (text[at + length] === char) length += 1;
  const before = text[at - 1] || " ", after = text[at + length] || " ";
  const inWord = char === "_" && /\w/.test(before) && /\w/.test(after);
  if (inWord || length > 3 || (char === "~" && length !== 2)) {
    out.push(text.slice(at, at + length));
    return length;
  }
  let left = length;
  // Closing marks need no space after them: Korean particles follow at once.
  while (left && !/\s/.test(before)) {
    const place = open.findLastIndex(mark => mark.text[0] === char && mark.text.length <= left);
    if (place < 0) break;
    const [mark] = open.splice(place);
    const inner = out.splice(mark.place).slice(1).map(asText);
    const tags = char === "~" ? ["del"] : TAGS[mark.text.length];
    out.push(tags.reduceRight((children, tag) => [el(tag, {}, children)], inner)[0]);
    left -= mark.text.length;
  }
  if (left && /\s/.test(after)) out.push(char.repeat(left));
  else if (left) {
    const mark = new Mark(char.repeat(left), out.length);
    out.push(mark);
    open.push(mark);
    if (open.length > MAX_OPEN) open.shift();
  }
  return length;
}

const asText = part => part instanceof Mark ? part.text : part;
