// Runs examples of /docs with the JavaScript client, each as a user of its own: what they got.
//
// Standard input has {url, examples: [{name, code, session, namespaces}]}; open ones have no session.

import { text } from "node:stream/consumers";

import { JobSphere, Refusal } from "../../../static/client/jobsphere.js";

const PATIENCE_MS = 15_000;
const AT_ONCE = 8;
const AsyncFunction = (async () => {}).constructor;

async function run(url, { name, code, session, namespaces }) {
  const client = new JobSphere({ url, patience: PATIENCE_MS, transports: ["websocket"] });
  try {
    if (session) {
      client.adopt(session);
      if (namespaces.length) await client.connect({ namespaces });
    }
    const logged = [];
    await new AsyncFunction("client", "console", code)(client, { log: (...all) => logged.push(all) });
    return { name, logged };
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw new Error(`${name}: ${problem.stack}\n${code}`);
    return { name, code: problem.code, rule: problem.details.rule };
  } finally {
    client.close();
  }
}

const { url, examples } = JSON.parse(await text(process.stdin));
const got = [];
for (let first = 0; first < examples.length; first += AT_ONCE) {
  got.push(...await Promise.all(examples.slice(first, first + AT_ONCE).map((each) => run(url, each))));
}
console.log(JSON.stringify(got));
process.exit(); // a closed connection may wait to be opened again
