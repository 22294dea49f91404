// What this browser keeps. Storage may be full, or forbidden: the page works without it.

/** The stored value; `otherwise` without one. */
export function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Store a value, where there is room for it. */
export function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {} // full, or forbidden
}

/** Store a list. While there is no room, its oldest items, at the end, are dropped; where storage is forbidden, none is. */
export function storeNewest(name, items, most) {
  let kept = items.slice(0, most);
  while (true) {
    try {
      localStorage.setItem(name, JSON.stringify(kept));
      return kept;
    } catch (error) {
      if (error.name !== "QuotaExceededError" || kept.length < 2) return kept;
    }
    kept = kept.slice(0, Math.floor(kept.length / 2));
  }
}
