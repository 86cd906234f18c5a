// What needs the person now, then the rest.

import { html } from "../shared/html.js";
import { Empty, View } from "../shared/pieces.js";
import { me } from "../shared/server.js";

export function Home() {
  const name = me.value?.name?.split(" ")[0];
  return html`<${View} title="Home" heading=${name ? `Hello, ${name}` : "Home"}>
    <${Empty} icon="circle-check" title="Nothing needs you now" /></${View}>`;
}
