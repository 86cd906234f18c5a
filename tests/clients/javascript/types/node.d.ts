// What the example uses of Node.

declare const process: { argv: string[] };
