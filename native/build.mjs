// npm run build: schema -> TypeScript and C++, C++ headers of others, addon, TypeScript. Does only what is due and
// reports on stderr, because stdout belongs to the command that follows. --check: is what is committed up to date?
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { compileAddon } from "./compile.mjs";
import { root, schemaInputs, staleGenerated, vendor, writeGenerated, writeVendor } from "./schema.mjs";

const require = createRequire(import.meta.url);

async function check() {
  const stale = await staleGenerated();
  if (stale.length === 0) return;
  console.error(`Not what src/wire/gossip.fbs generates. Run "npm run build" and commit:\n  ${stale.join("\n  ")}`);
  process.exitCode = 1;
}

/** flatc takes half a second; skip it while neither its inputs nor its outputs have changed. */
async function buildSchema() {
  const stamp = join(root, "build/schema.stamp");
  const outputs = [
    "native/gossip_generated.h",
    ...readdirSync(join(root, "src/wire/generated"), { recursive: true })
      .filter((name) => name.endsWith(".ts"))
      .sort()
      .map((name) => `src/wire/generated/${name}`),
  ];
  const hash = () => {
    const sum = createHash("sha256");
    for (const path of [...schemaInputs(), ...outputs]) {
      sum.update(`${path}\n`).update(existsSync(join(root, path)) ? readFileSync(join(root, path)) : "missing");
    }
    return sum.digest("hex");
  };
  const current = existsSync(vendor) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash();
  if (current) return;
  const changed = await writeGenerated();
  if (changed > 0) console.error(`tattler: ${changed} files generated from the schema`);
  await writeVendor();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash());
}

function tsc(project) {
  const compiler = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
  const { status } = spawnSync(process.execPath, [compiler, "--build", project], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error(`tsc --build ${project} failed`);
}

function buildTypeScript() {
  tsc("tsconfig.build.json");
  const bin = join(root, "dist/cli/main.js");
  if (existsSync(bin)) chmodSync(bin, 0o755);
  const bench = join(root, "bench");
  if (!existsSync(bench) || !readdirSync(bench).some((name) => name.endsWith(".ts"))) return;
  // The bench imports ../src/*.js: from build/js/bench that is build/js/src, which is dist itself.
  mkdirSync(join(root, "build/js"), { recursive: true });
  if (!existsSync(join(root, "build/js/src"))) symlinkSync("../../dist", join(root, "build/js/src"));
  tsc("tsconfig.bench.json");
}

async function build() {
  await buildSchema();
  await compileAddon({ strict: true });
  buildTypeScript();
}

try {
  await (process.argv.includes("--check") ? check() : build());
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
