// Prints the examples of /docs, made as the page makes them: node examples.mjs URL EMAIL PASSWORD

import { examples, listeners, setUp } from "../../../static/js/docs/examples.js";
import { reference } from "../../../static/js/docs/reference.js";

const [url, email, password] = process.argv.slice(2);
const read = async (name) => (await fetch(`${url}/api/${name}.json`)).json();
const { operations, pushes } = reference(await read("openapi"), await read("asyncapi"));

const described = [...operations.values()].map((operation, number) => {
  const { name, namespace, roles, socket, statuses } = operation;
  const refusals = Object.fromEntries(
    statuses.map(({ status, codes }) => [status, codes.map(({ code }) => code)]));
  return { name, namespace, roles, socket, refusals, ...examples(operation, url, `example-${number}`) };
});
const heard = [...pushes.values()].map((push) => ({ name: push.name, namespace: push.namespace, ...listeners(push) }));
console.log(JSON.stringify({ setUp: setUp(url, email, password), operations: described, pushes: heard }));
