// Elements from plain calls, and a page that is changed in place; text is only ever text.

/** el("p.quiet", {title}, "text", child): null, undefined and false are left out. */
export function el(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  const shown = children.flat(2).filter((child) => child != null && child !== false);
  element.append(...shown);
  return element;
}

/** Make `node` look like `next` and keep what a person is using: focus, input, open details. */
export function morph(node, next) {
  for (const { name, value } of [...next.attributes]) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  for (const { name } of [...node.attributes]) {
    const own = name === "open" && node.nodeName === "DETAILS";
    if (!next.hasAttribute(name) && !own) node.removeAttribute(name);
  }
  morphChildren(node, [...next.childNodes]);
}

function morphChildren(node, wanted) {
  const keyed = new Map();
  for (const child of node.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let place = node.firstChild;
  for (const next of wanted) {
    const key = next.dataset?.key;
    const there = key ? keyed.get(key) : place;
    if (!there || !alike(there, next)) {
      node.insertBefore(next, place);
      continue;
    }
    if (there === place) place = place.nextSibling;
    else node.insertBefore(there, place);
    if (there.nodeType !== Node.ELEMENT_NODE) {
      if (there.data !== next.data) there.data = next.data;
    } else {
      morph(there, next);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

/** One listener per kind of event: `act(name, {id, fields, element})` for [data-action]. */
export function delegate(root, act) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[type=button][data-action]");
    if (button) act(button.dataset.action, { id: button.dataset.id, fields: {}, element: button });
  });
  root.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-action]");
    if (!form) return;
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    act(form.dataset.action, { id: form.dataset.id, fields, element: form });
  });
}
