// npm run prebuilds: a binary for every Node from 20 on (Node-API 8) and every Linux with glibc 2.28 or newer, which is
// what Node 20 itself needs, to prebuilds/. npm pack runs it with --fresh, so that the tarball carries no stale output.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { binary, compileAddon } from "./compile.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const newestGlibc = 28;

/** Names of symbols that an older system would miss. */
function tooNew(file) {
  const symbols = execFileSync("objdump", ["-T", file], { encoding: "utf8" });
  return symbols.split("\n").filter((line) => Number(/\(GLIBC_2\.(\d+)/.exec(line)?.[1] ?? 0) > newestGlibc);
}

if (process.argv.includes("--fresh")) {
  rmSync(join(root, "dist"), { recursive: true, force: true });
  rmSync(join(root, "prebuilds"), { recursive: true, force: true });
}
const { status } = spawnSync(process.execPath, [join(root, "native/build.mjs")], { stdio: ["ignore", 2, 2] });
if (status !== 0) process.exit(1);

await compileAddon({ strict: true, portable: true });
const linux = process.platform === "linux";
if (linux && tooNew(binary).length > 0) {
  console.error(`The prebuild needs a glibc newer than 2.${newestGlibc}:\n${tooNew(binary).join("\n")}`);
  process.exit(1);
}
const libc = linux ? (process.report.getReport().header.glibcVersionRuntime ? ".glibc" : ".musl") : "";
const target = join(root, "prebuilds", `${process.platform}-${process.arch}`, `tattler.napi${libc}.node`);
mkdirSync(join(target, ".."), { recursive: true });
copyFileSync(binary, target);
await compileAddon({ strict: true });
console.error(`tattler: ${target.slice(root.length)}`);
