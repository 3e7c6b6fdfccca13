// Elements of the page. Text of strangers (names of sessions, reasons, files) only ever becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; strings become text nodes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set text, if it differs: what has not changed is not laid out again, and is not read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Children of a container by key: made once, updated, and removed with their key. */
export class KeyedList {
  constructor(container, make, update) {
    this.container = container;
    this.make = make;
    this.update = update;
    this.entries = new Map();
  }

  show(items) {
    for (const [key, entry] of this.entries) {
      if (!items.has(key)) {
        entry.element.remove();
        entry.leave?.();
        this.entries.delete(key);
      }
    }
    let before = null;
    for (const [key, item] of items) {
      let entry = this.entries.get(key);
      if (!entry) {
        entry = this.make(key, item);
        this.entries.set(key, entry);
      }
      const place = before ? before.nextSibling : this.container.firstChild;
      if (entry.element !== place) this.container.insertBefore(entry.element, place);
      before = entry.element;
      this.update(entry, item, key);
    }
    const section = this.container.closest("section");
    if (section) section.hidden = items.size === 0;
  }
}

/** A list of names and figures: [name, text, attention]. */
export class Figures {
  constructor() {
    this.element = el("dl", { class: "figures" });
    this.lines = new Map();
  }

  show(figures) {
    const wanted = figures.filter((figure) => figure && figure[1] !== "" && figure[1] !== undefined);
    const names = wanted.map(([name]) => name);
    if (names.join("\n") !== [...this.lines.keys()].join("\n")) {
      this.lines.clear();
      this.element.replaceChildren();
      for (const name of names) {
        const line = el("div", {}, el("dt", {}, name), el("dd"));
        this.element.append(line);
        this.lines.set(name, line);
      }
    }
    for (const [name, text, attention] of wanted) {
      const line = this.lines.get(name);
      setText(line.lastChild, text);
      line.className = attention ? "attention" : "";
    }
  }
}
