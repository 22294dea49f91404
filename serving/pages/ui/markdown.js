// Markdown of an answer as elements: the blocks. What is no Markdown is text, HTML too. See docs/decisions/0325.

import { el } from "./dom.js";
import { inline } from "./inline.js";

/** A longer text is shown as it is. */
const MAX_CHARS = 200_000;
/** Quotes and lists within each other. */
const MAX_DEPTH = 6;

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const ITEM = /^( {0,8})([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const QUOTE = /^ {0,3}> ?/;

/** Show a text in an element. Blocks that are there already stay as they are, so that a selection survives. */
export function show(text, place, cite = () => null) {
  const found = text.length > MAX_CHARS ? [{source: text, make: () => el("pre", {}, text)}] : blocks(text, 0, cite);
  const known = place.blocks || [];
  let same = 0;
  while (same < found.length && same < known.length && found[same].source === known[same]) same += 1;
  while (place.childElementCount > same) place.lastChild.remove();
  for (const block of found.slice(same)) place.append(block.make());
  place.blocks = found.map(block => block.source);
}

/** The blocks of a text: `{source, make}`. */
function blocks(text, depth, cite) {
  const lines = text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n");
  const found = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const begin = at;
    const kind = [fence, heading, rule, quote, list, table, paragraph].find(each => each.starts(lines, at, depth));
    const [end, make] = kind.read(lines, at, depth, cite);
    at = end;
    found.push({source: lines.slice(begin, end).join("\n"), make});
  }
  return found;
}

const makeAll = (lines, depth, cite) => blocks(lines.join("\n"), depth + 1, cite).map(block => block.make());

const fence = {
  starts: (lines, at) => FENCE.test(lines[at]),
  read(lines, at) {
    const [, mark, language] = FENCE.exec(lines[at]);
    let end = at + 1;
    while (end < lines.length && !closes(lines[end], mark)) end += 1;
    const code = lines.slice(at + 1, end).join("\n");
    return [Math.min(end + 1, lines.length), () => el("pre", {tabindex: "0"}, el("code", {"data-language": language || null}, code))];
  },
};

function closes(line, mark) {
  const found = line.trim();
  return found.length >= mark.length && found === mark[0].repeat(found.length);
}

const heading = {
  starts: (lines, at) => HEADING.test(lines[at]),
  read(lines, at, depth, cite) {
    const [, marks, text = ""] = HEADING.exec(lines[at]);
    // The page has h1 and h2 of its own.
    const tag = `h${Math.min(marks.length + 2, 6)}`;
    return [at + 1, () => el(tag, {}, inline(text.replace(/[ \t]#+[ \t]*$/, ""), cite))];
  },
};

const rule = {
  starts(lines, at) {
    const marks = lines[at].replace(/ /g, "");
    return marks.length >= 3 && "-*_".includes(marks[0]) && marks === marks[0].repeat(marks.length);
  },
  read: (lines, at) => [at + 1, () => el("hr")],
};

const quote = {
  starts: (lines, at, depth) => depth < MAX_DEPTH && QUOTE.test(lines[at]),
  read(lines, at, depth, cite) {
    let end = at;
    while (end < lines.length && lines[end].trim() && (QUOTE.test(lines[end]) || !breaks(lines, end))) end += 1;
    const inner = lines.slice(at, end).map(line => line.replace(QUOTE, ""));
    return [end, () => el("blockquote", {}, makeAll(inner, depth, cite))];
  },
};

const list = {
  starts: (lines, at, depth) => depth < MAX_DEPTH && ITEM.test(lines[at]),
  read(lines, at, depth, cite) {
    const [, indent, mark] = ITEM.exec(lines[at]);
    const items = [];
    let end = at, loose = false;
    while (end < lines.length) {
      const item = ITEM.exec(lines[end]);
      const next = lines[end].trim() ? end : end + 1;
      if (item && item[1].length <= indent.length + 1) {
        if (isNumber(item[2]) !== isNumber(mark)) break;
        items.push([lines[end].slice(item[0].length)]);
      } else if (!lines[end].trim()) {
        if (next >= lines.length || !continues(lines[next], indent)) break;
        const another = ITEM.exec(lines[next]);
        loose ||= !another || another[1].length <= indent.length + 1;
        items.at(-1).push("");
      } else if (lines[end].startsWith(`${indent}  `) || !breaks(lines, end)) {
        items.at(-1).push(lines[end]);
      } else break;
      end += 1;
    }
    const start = isNumber(mark) ? parseInt(mark, 10) : 1;
    const make = () => el(isNumber(mark) ? "ol" : "ul", {start: start === 1 ? null : start}, items.map(one => item(one, loose, depth, cite)));
    return [end, make];
  },
};

const isNumber = mark => /\d/.test(mark);
const continues = (line, indent) => line.startsWith(`${indent}  `) || (ITEM.test(line) && ITEM.exec(line)[1].length <= indent.length + 1);

/** An item: its first line, and the others without their indent. */
function item([first, ...others], loose, depth, cite) {
  const indentOf = line => line.length - line.trimStart().length;
  const indent = others.reduce((least, line) => line.trim() ? Math.min(least, indentOf(line)) : least, 8);
  const box = /^\[([ xX])\] /.exec(first);
  const text = box ? first.slice(4) : first;
  const parts = makeAll([text, ...others.map(line => line.slice(Math.min(indent, indentOf(line))))], depth, cite);
  // A tight list has no paragraphs.
  const shown = loose ? parts : parts.flatMap(part => part.tagName === "P" ? [...part.childNodes] : [part]);
  return el("li", {}, box && (box[1] === " " ? "☐ " : "☑ "), shown);
}

const table = {
  starts: (lines, at) => lines[at].includes("|") && at + 1 < lines.length && aligns(lines[at + 1]) !== null
    && cells(lines[at]).length === aligns(lines[at + 1]).length,
  read(lines, at, depth, cite) {
    const head = cells(lines[at]), sides = aligns(lines[at + 1]);
    let end = at + 2;
    while (end < lines.length && lines[end].includes("|")) end += 1;
    const rows = lines.slice(at + 2, end).map(cells);
    const row = (tag, texts) => el("tr", {}, head.map((_, column) =>
      el(tag, {class: sides[column], scope: tag === "th" ? "col" : null}, inline(texts[column] || "", cite))));
    const make = () => el("div", {class: "wide", tabindex: "0"}, el("table", {},
      el("thead", {}, row("th", head)), el("tbody", {}, rows.map(texts => row("td", texts)))));
    return [end, make];
  },
};

/** The cells of a line; `\|` is no border. */
function cells(line) {
  const parts = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1").split(/(?<!\\)\|/);
  return parts.map(part => part.trim().replace(/\\\|/g, "|"));
}

/** The sides of the columns, if a line is the one below a table's head. */
function aligns(line) {
  if (!line.includes("-") || !line.includes("|")) return null;
  const marks = cells(line);
  if (!marks.every(mark => /^:?-+:?$/.test(mark))) return null;
  return marks.map(mark => mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "right") : "left");
}

const paragraph = {
  starts: () => true,
  read(lines, at, depth, cite) {
    let end = at + 1;
    while (end < lines.length && lines[end].trim() && !breaks(lines, end)) end += 1;
    const text = lines.slice(at, end).map(line => line.trimStart()).join("\n");
    return [end, () => el("p", {}, inline(text.trimEnd(), cite))];
  },
};

/** Whether a line ends a paragraph. */
function breaks(lines, at) {
  return [fence, heading, rule, quote, list, table].some(kind => kind.starts(lines, at, 0));
}
