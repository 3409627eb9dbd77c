// The FluentServer of @fluent-org/logger as a program: its options as JSON in the first argument, what it takes as lines
// of JSON on standard output. It ends when its standard input does.
"use strict";

const fs = require("fs");
const { FluentServer } = require("@fluent-org/logger");

const options = JSON.parse(process.argv[2]);
for (const [name, file] of Object.entries(options.tlsFiles || {})) {
  options.tlsOptions = { ...options.tlsOptions, [name]: fs.readFileSync(file) };
}
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const server = new FluentServer(options);
server.on("entry", (tag, time, record) => say({ tag, time, isEventTime: typeof time === "object", record }));
server.listen().then(() => say({ port: server.port ?? 0 }));
process.stdin.on("end", () => process.exit(0)).resume();
