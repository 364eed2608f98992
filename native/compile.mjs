// Compiles the addon with node-gyp. Used by the build in a clone and by the install script of a package, so it
// needs nothing but Node itself, npm's node-gyp and native/vendor.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = join(root, "build/native.stamp");
const logFile = join(root, "build/native.log");
export const binary = join(root, "build/Release/tattler.node");

const remedy = `The C++ addon of tattler could not be built. It needs Python 3, make and g++ 10 or newer (C++20):
  Debian, Ubuntu   apt-get install -y python3 make g++
  Fedora, RHEL     dnf install -y python3 make gcc-c++
  Alpine           apk add python3 make g++ linux-headers
  macOS            xcode-select --install
The full log is in ${logFile}`;

/** Where node-gyp may be: our own dependency, the one npm tells install scripts of, the one in npm beside node. */
function nodeGyp() {
  const beside = join(dirname(realpathSync(process.execPath)), "..");
  const candidates = [
    ownNodeGyp(),
    process.env.npm_config_node_gyp,
    process.env.npm_execpath && join(dirname(process.env.npm_execpath), "../node_modules/node-gyp/bin/node-gyp.js"),
    join(beside, "lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"),
    join(beside, "share/nodejs/node-gyp/bin/node-gyp.js"),
  ];
  const found = candidates.find((path) => path && existsSync(path));
  if (!found) throw new Error("node-gyp was not found. Install it: npm install node-gyp");
  return found;
}

function ownNodeGyp() {
  try {
    return createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  } catch {
    return undefined;
  }
}

/** Node's own headers stand beside its binary; only where they do not, node-gyp downloads them. */
function headersOption() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const complete = ["common.gypi", "node_api.h", "openssl/evp.h"].every((file) =>
    existsSync(join(prefix, "include/node", file)),
  );
  return complete ? [`--nodedir=${prefix}`] : [];
}

function nativeInputs() {
  const sources = readdirSync(join(root, "native"), { recursive: true }).filter((name) => /\.(cc|h)$/.test(name));
  return ["binding.gyp", "native/compile.mjs", ...sources.sort().map((name) => `native/${name}`)];
}

/** One hash over everything that the binary depends on. */
function inputHash(flavour) {
  const hash = createHash("sha256").update(`${process.version} ${process.platform} ${process.arch} ${flavour}\n`);
  for (const path of nativeInputs()) hash.update(`${path}\n`).update(readFileSync(join(root, path)));
  return hash.digest("hex");
}

function run(args, log, onLine) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [nodeGyp(), ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const lines = [];
    const take = (chunk) => {
      log.write(chunk);
      for (const line of chunk.toString().split("\n")) {
        if (line !== "") lines.push(line);
        onLine(line);
      }
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => lines.push(error.message));
    child.on("close", (code) => resolve({ ok: code === 0, lines }));
  });
}

/** Counts compiled files on a terminal; elsewhere one line before and one after is enough. */
function progress(total) {
  let done = 0;
  return (line) => {
    if (!line.includes("CXX(target)")) return;
    done++;
    if (process.stderr.isTTY) process.stderr.write(`\rtattler: compiling the addon, ${done} of ${total} files`);
  };
}

/**
 * Builds build/Release/tattler.node if anything it depends on has changed.
 * `strict`: warnings are errors. `portable`: for a prebuild, with nothing newer than it must have.
 */
export async function compileAddon({ strict = false, portable = false } = {}) {
  const flavour = `${strict ? "strict" : "plain"} ${portable ? "portable" : "local"}`;
  const hash = inputHash(flavour);
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return false;
  mkdirSync(dirname(stamp), { recursive: true });
  rmSync(stamp, { force: true });
  const startedAt = Date.now();
  process.stderr.write("tattler: compiling the addon (about half a minute)\n");
  const log = createWriteStream(logFile);
  const settings = [`-Dtattler_strict=${Number(strict)}`, `-Dtattler_portable=${Number(portable)}`];
  const onLine = progress(nativeInputs().filter((path) => path.endsWith(".cc")).length);
  let result = await run(["configure", ...headersOption(), "--", ...settings], log, onLine);
  if (result.ok) result = await run(["build", "--jobs=2"], log, onLine);
  await new Promise((resolve) => log.end(resolve));
  if (process.stderr.isTTY) process.stderr.write("\n");
  if (!result.ok || !existsSync(binary)) {
    throw new Error(`${result.lines.slice(-40).join("\n")}\n\n${remedy}`);
  }
  writeFileSync(stamp, hash);
  process.stderr.write(`tattler: the addon is built (${((Date.now() - startedAt) / 1000).toFixed(0)} s)\n`);
  return true;
}
