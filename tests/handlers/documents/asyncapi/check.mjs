// Prints what the parser of the AsyncAPI initiative finds wrong in a document, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const found = diagnostics.map(({ severity, code, message, path }) => ({
  severity,
  code: String(code),
  message,
  path: path.join("."),
}));
console.log(JSON.stringify({ operations: document?.operations().all().length ?? 0, found }));
