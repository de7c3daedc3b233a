// The only way in which this page makes elements: texts go in as texts, and what has not changed is not touched,
// so that a reader keeps the place, the focus and the selection.

export const get = (id) => document.getElementById(id);

export function make(tag, className = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  return node;
}

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function set(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Has one child for each item, in their order. A child stays the item's as long as the key is the same.
export function each(parent, items, key, create, update) {
  const known = new Map();
  for (const child of [...parent.children]) {
    if (known.has(child.dataset.key)) child.remove();
    else known.set(child.dataset.key, child);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = known.get(name);
    if (child) known.delete(name);
    else {
      child = create(item);
      child.dataset.key = name;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of known.values()) child.remove();
}

// A cell is a text, or {text, href, pill, title, className}.
export function table(body, items, key, cells) {
  const create = (item) => {
    const row = make("tr");
    for (const [place] of cells(item).entries()) row.append(place === 0 ? headOfRow() : make("td"));
    return row;
  };
  each(body, items, key, create, (row, item) => {
    for (const [place, cell] of cells(item).entries()) fill(row.children[place], cell);
  });
}

function headOfRow() {
  const cell = make("th");
  cell.scope = "row";
  return cell;
}

function fill(cell, content) {
  const wanted = typeof content === "object" && content !== null ? content : { text: content };
  const tag = wanted.href ? "a" : wanted.pill ? "span" : null;
  if (cell.className !== (wanted.className ?? "")) cell.className = wanted.className ?? "";
  set(cell, "title", wanted.title ?? null);
  if (tag === null) return say(cell, wanted.text);
  let inner = cell.firstElementChild;
  if (inner === null || inner.localName !== tag) {
    inner = make(tag);
    cell.replaceChildren(inner);
  }
  say(inner, wanted.text);
  if (wanted.href) set(inner, "href", wanted.href);
  if (wanted.pill) inner.className = `pill ${wanted.pill}`;
}

// Shows what stands between backquotes as code: a command to be copied.
export function prose(node, text) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  const parts = text.split("`").map((part, place) => {
    if (place % 2 === 0) return document.createTextNode(part);
    const code = make("code");
    code.textContent = part;
    return code;
  });
  node.replaceChildren(...parts);
}
