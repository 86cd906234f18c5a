// Elements from plain calls, for pages that are mostly text.

import { h } from "preact";

/**
 * element("p.hint", {}, "text", child): a Preact node of that tag and those classes. Lists among the
 * children are flattened; null, undefined and false are left out.
 */
export function el(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  return h(tag, { ...attributes, ...(classes.length && { class: classes.join(" ") }) },
    ...children.flat(Infinity).filter((child) => child != null && child !== false));
}
