// What this browser keeps. Storage may be full, or forbidden: the page works without it.

/** The stored value; `otherwise` without one. */
export function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Store a value; whether there was room for it. */
export function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Store a list. While there is no room, its oldest items, at the end, are dropped. */
export function storeNewest(name, items, most) {
  let kept = items.slice(0, most);
  while (!store(name, kept) && kept.length > 1) kept = kept.slice(0, Math.floor(kept.length / 2));
  return kept;
}
