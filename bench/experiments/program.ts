import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";

/**
 * Of all that may change a figure: what was built below this directory, the addon that is loaded, and what they run on.
 * The same in another directory, and after a build that changes nothing.
 */
export function hashOfProgram(root: string): string {
  const require = createRequire(import.meta.url);
  const { version } = require("flatbuffers/package.json") as { version: string };
  const { path: addonOf } = require("node-gyp-build") as { path(root: string): string };
  const bench = join(root, "build/js/bench");
  const files = [
    ...scriptsIn(join(root, "dist")),
    join(bench, "experiments.js"),
    ...scriptsIn(join(bench, "experiments")),
    addonOf(root),
  ];
  const sum = createHash("sha256").update(`node ${process.version}, flatbuffers ${version}\n`);
  for (const file of files) sum.update(`${relative(root, file)}\n`).update(readFileSync(file));
  return sum.digest("hex");
}

function scriptsIn(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const scripts = names.filter((name) => name.endsWith(".js")).sort();
  return scripts.map((name) => join(directory, name));
}
