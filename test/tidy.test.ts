import { posix } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import {
  type Finding,
  freeName,
  handWritten,
  isCpp,
  isTypeScript,
  longCppFunctions,
  longTypeScriptFunctions,
  matches,
  moduleNamed,
  type Source,
  walk,
} from "./support/source_tree.js";

interface Rule {
  readonly rule: string;
  readonly reason: string;
  readonly applies: (path: string) => boolean;
  readonly find: (source: Source) => Finding[];
  /** What the rule must catch, each by itself. */
  readonly bad: readonly Source[];
  /** Close to it, and allowed. */
  readonly good: readonly Source[];
}

const self = "test/tidy.test.ts";
const maxFileLines = 400;
const maxFunctionLines = 70;
const maxColumns = 120;

// Imports go one way: a layer may import what stands in its list, and itself.
const leaves = ["config", "delegates", "errors", "options", "random"];
const layers: Record<string, readonly string[]> = {
  wire: leaves,
  swim: ["wire", ...leaves],
  // The driver and the host of a node are what runs the core, so they name it. Never the other way round.
  io: ["swim", "wire", ...leaves],
  // What a driver is made of, but not the driver: a simulation brings its own clock, network and machines. Delegates
  // and listeners are called by the code that calls them in production, which knows no clock and no socket.
  sim: [
    ...["swim", "wire", "io/native", "io/directory", "io/dispatch", "io/payloads", "io/scheduler"],
    ...["io/versions", "io/application", "event_stream", ...leaves],
  ],
  node: ["io", "swim", "wire", ...leaves],
  cluster: ["node", "io", "swim", "wire", ...leaves],
  agent: ["cluster", "node", "io", "swim", "wire", ...leaves],
  cli: ["agent", "cluster", "node", "io", "sim", "swim", "wire", "index", ...leaves],
  index: ["agent", "cluster", "node", "io", "sim", "swim", "wire", ...leaves],
  config: [...leaves, "wire/versions"],
  delegates: [...leaves, "wire"],
  errors: leaves,
  random: leaves,
};

/** "src/swim/probe.ts" -> ["swim", "swim/probe"]. What stands beside node.ts belongs to it. */
function layerOf(path: string): [string, string] {
  const inside = path.slice("src/".length).replace(/\.[jt]s$/, "");
  const [first = inside] = inside.split("/");
  return [first in layers || inside.includes("/") ? first : "node", inside];
}

function wrongImports(source: Source): Finding[] {
  const [layer] = layerOf(source.path);
  return walk(source, (node) => {
    const name = moduleNamed(node);
    if (name === undefined || !name.startsWith(".")) return undefined;
    const target = posix.join(posix.dirname(source.path), name);
    if (!target.startsWith("src/")) return `${layer} imports ${target}, outside of src`;
    const [to, inside] = layerOf(target);
    const allowed = to === layer || layers[layer]?.includes(to) || layers[layer]?.includes(inside);
    return allowed ? undefined : `${layer} imports ${inside}`;
  });
}

const impureNames = new Set([
  ..."Date performance process setTimeout setInterval setImmediate queueMicrotask Promise EventEmitter".split(" "),
  ..."crypto fetch Worker require globalThis".split(" "),
]);

function impurities(source: Source): Finding[] {
  return walk(source, (node) => {
    if (moduleNamed(node)?.startsWith("node:")) return moduleNamed(node);
    if (node.kind === ts.SyntaxKind.AsyncKeyword || node.kind === ts.SyntaxKind.AwaitKeyword) return "async or await";
    if (ts.isAwaitExpression(node)) return "await";
    if (ts.isPropertyAccessExpression(node) && node.getText() === "Math.random") return "Math.random";
    const name = freeName(node);
    return name !== undefined && impureNames.has(name) ? name : undefined;
  });
}

function skippedTests(source: Source): Finding[] {
  return walk(source, (node) => {
    if (!ts.isPropertyAccessExpression(node) || !/^(skip|only|todo)$/.test(node.name.text)) return undefined;
    return /^(describe|it|test|suite|bench)\b/.test(node.expression.getText()) ? node.getText() : undefined;
  });
}

function sleeps(source: Source): Finding[] {
  if (isCpp(source.path)) return matches(source, /\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\(/);
  return walk(source, (node) => {
    if (moduleNamed(node)?.startsWith("node:timers")) return moduleNamed(node);
    if (ts.isPropertyAccessExpression(node) && node.getText() === "Atomics.wait") return "Atomics.wait";
    return freeName(node) === "setTimeout" ? "setTimeout" : undefined;
  });
}

const inFolders =
  (...folders: string[]) =>
  (path: string): boolean =>
    folders.some((folder) => path.startsWith(`${folder}/`));
const lines = (count: number): string => "\n".repeat(count);
const cppFunction = (body: number): string => `namespace a {\nint f(int x) {${lines(body)}return x;\n}\n}`;
// Written apart, so that this file keeps its own rules.
const [later, broken] = ["TO" + "DO", "FIX" + "ME"];

const rules: readonly Rule[] = [
  {
    rule: "imports go one way",
    reason: "a layer that knows the one above it cannot be tested, replaced or understood alone",
    applies: (path) => inFolders("src")(path) && isTypeScript(path),
    find: wrongImports,
    bad: [
      { path: "src/swim/probe.ts", text: 'import type { Driver } from "../io/driver.js";' },
      { path: "src/wire/codec.ts", text: 'export { Swim } from "../swim/swim.js";' },
      { path: "src/io/driver.ts", text: 'import { GossipNode } from "../node.js";' },
      { path: "src/sim/run.ts", text: 'const driver = import("../io/driver.js");' },
      { path: "src/node.ts", text: 'import { main } from "./cli/main.js";' },
      { path: "src/errors.ts", text: 'let a: import("./wire/addon.js").Hub;' },
      { path: "src/swim/swim.ts", text: 'import { TestHub } from "../../test/support/hub.js";' },
    ],
    good: [
      { path: "src/sim/run.ts", text: 'import { loadAddon } from "../io/native.js";' },
      { path: "src/swim/swim.ts", text: 'import { Random } from "../random.js"; import "./probe.js";' },
    ],
  },
  {
    rule: "the protocol and the simulator have no clock, dice, timer, process or promise of their own",
    reason: "a failing run must be a seed in a log: time and chance are arguments",
    applies: (path) => inFolders("src/swim", "src/sim")(path) && isTypeScript(path),
    find: impurities,
    bad: [
      "const now = Date.now();",
      "performance.now();",
      "const dice = Math.random();",
      "setTimeout(() => {}, 1);",
      "setInterval(f, 1);",
      "setImmediate(f);",
      "queueMicrotask(f);",
      "process.exit();",
      'import { readFileSync } from "node:fs";',
      "async function f() {}",
      "for await (const a of b) c(a);",
      "let a: Promise<void>;",
      "class A extends EventEmitter {}",
    ].map((text) => ({ path: "src/swim/probe.ts", text })),
    good: [
      { path: "src/swim/probe.ts", text: "// Date.now()\nconst a = { process: b.performance };\nMath.max(1, 2);" },
    ],
  },
  {
    rule: `files have at most ${maxFileLines} lines`,
    reason: "a file that is longer has more than one job",
    applies: inFolders("src", "native", "bench", "test"),
    find: ({ text }) => {
      const count = text.trimEnd().split("\n").length;
      return count > maxFileLines ? [{ line: count, what: `${count} lines` }] : [];
    },
    bad: [{ path: "src/a.ts", text: `a();${lines(maxFileLines)}b();` }],
    good: [{ path: "src/a.ts", text: `a();${lines(maxFileLines - 1)}b();\n` }],
  },
  {
    rule: `functions have at most ${maxFunctionLines} lines`,
    reason: "one screen is what a reader holds in mind",
    applies: inFolders("src", "native", "bench", "test"),
    find: (source) => (isCpp(source.path) ? longCppFunctions : longTypeScriptFunctions)(source, maxFunctionLines),
    bad: [
      { path: "src/a.ts", text: `function f() {${lines(maxFunctionLines)}}` },
      { path: "src/a.ts", text: `class A { m = () => {${lines(maxFunctionLines)}}; }` },
      { path: "test/a.test.ts", text: `it("a", () => {${lines(maxFunctionLines)}});` },
      { path: "native/a.cc", text: cppFunction(maxFunctionLines) },
      { path: "native/a.cc", text: `struct A {\nvoid f() { g('{', "}"); if (x) {${lines(maxFunctionLines)}} }\n};` },
    ],
    good: [
      { path: "test/a.test.ts", text: `describe("a", () => {${lines(maxFunctionLines)}});` },
      { path: "native/a.cc", text: cppFunction(maxFunctionLines - 2) },
      { path: "native/a.cc", text: `class A {${lines(maxFunctionLines)}void f();\n};` },
    ],
  },
  {
    rule: `lines have at most ${maxColumns} columns`,
    reason: "two files fit side by side",
    applies: inFolders("src", "native", "bench", "test", ".ci"),
    find: (source) => matches(source, new RegExp(`^.{${maxColumns + 1},}`, "u")),
    bad: [{ path: "src/a.ts", text: "a".repeat(maxColumns + 1) }],
    good: [{ path: "src/a.ts", text: "a".repeat(maxColumns) }],
  },
  {
    rule: "files are named for what they hold",
    reason: "a drawer for everything is where things are written twice",
    applies: () => true,
    find: ({ path }) => {
      const words = posix.basename(path).split(/[._-]/);
      return words.some((word) => /^(utils?|helpers?|common|managers?|misc)$/i.test(word))
        ? [{ line: 1, what: path }]
        : [];
    },
    bad: ["src/utils.ts", "native/string_helpers.cc", "test/common.ts", "src/io/socket-manager.ts"].map((path) => ({
      path,
      text: "",
    })),
    good: [{ path: "src/io/utility_bill.ts", text: "" }],
  },
  {
    rule: "enums are generated from the schema",
    reason: "every shared number lives in gossip.fbs, once for both languages",
    applies: isTypeScript,
    find: (source) => walk(source, (node) => (ts.isEnumDeclaration(node) ? node.name.text : undefined)),
    bad: ["enum A { b }", "export const enum A { b }"].map((text) => ({ path: "src/a.ts", text })),
    good: [{ path: "src/a.ts", text: "// enum A { b }" }],
  },
  {
    rule: "nothing is left for later",
    reason: "what is not done is an issue, where it is seen",
    applies: () => true,
    find: (source) => matches(source, new RegExp(`\\b(${later}|${broken})\\b`)),
    bad: [later, broken].map((word) => ({ path: "native/a.cc", text: `f();  // ${word}: the rest` })),
    good: [{ path: "native/a.cc", text: "// to do so" }],
  },
  {
    rule: "every test runs",
    reason: "a test that does not run passes whatever is broken",
    applies: (path) => inFolders("test")(path) && isTypeScript(path),
    find: skippedTests,
    bad: ["it.skip('a', f);", "describe.only('a', f);", "test.todo('a');", "it.only.each([1])('a', f);"].map(
      (text) => ({
        path: "test/a.test.ts",
        text,
      }),
    ),
    good: [{ path: "test/a.test.ts", text: "list.skip(3); it('x.only', f);" }],
  },
  {
    rule: "tests wait for what they expect, never for a time",
    reason: "a sleep is too short on a busy machine and too long on any other",
    applies: (path) =>
      inFolders("test")(path) && !inFolders("test/support")(path) && (isTypeScript(path) || isCpp(path)),
    find: sleeps,
    bad: [
      { path: "test/a.test.ts", text: "await new Promise((resolve) => setTimeout(resolve, 10));" },
      { path: "test/a.test.ts", text: 'import { setTimeout as sleep } from "node:timers/promises";' },
      { path: "test/a.test.ts", text: "Atomics.wait(a, 0, 0, 100);" },
      { path: "test/native/a_test.cc", text: "std::this_thread::sleep_for(1ms);" },
    ],
    good: [{ path: "test/a.test.ts", text: 'await until(() => a.members.length === 2, "two members"); // setTimeout' }],
  },
  {
    rule: "Node-API stays in native/addon*",
    reason: "the rest is plain C++ that is tested without Node",
    applies: (path) => inFolders("native")(path) && isCpp(path) && !path.startsWith("native/addon"),
    find: (source) => matches(source, /\b(Napi::|napi_\w+|napi\.h|node_api\.h|js_native_api\.h|v8\.h|node\.h|uv\.h)/),
    bad: ["#include <napi.h>", "Napi::Value f();", "napi_env env;"].map((text) => ({ path: "native/hub.cc", text })),
    good: [{ path: "native/hub.cc", text: '#include "hub.h"' }],
  },
  {
    rule: "platforms differ in native/udp_*.cc only",
    reason: "a condition in the middle of code is a second program that nobody tests",
    applies: (path) => inFolders("native")(path) && isCpp(path) && !path.startsWith("native/udp_"),
    find: (source) => matches(source, /^\s*#\s*(if|ifdef|ifndef|elif)\b.*/),
    bad: ["#if defined(__linux__)", "  # ifdef A", "#ifndef A_H"].map((text) => ({ path: "native/hub.cc", text })),
    good: [{ path: "native/hub.cc", text: "#pragma once\n// #if" }],
  },
];

const sources = handWritten();

describe("the source tree", () => {
  it("is found", () => {
    expect(sources.map((source) => source.path)).toEqual(
      expect.arrayContaining([self, "native/hub.cc", "src/errors.ts"]),
    );
  });

  for (const { rule, reason, applies, find } of rules) {
    it(rule, () => {
      const found = sources
        .filter((source) => applies(source.path))
        .flatMap((source) => {
          return find(source).map(({ line, what }) => `${source.path}:${line}: ${what}`);
        });
      expect(found, `because ${reason}`).toEqual([]);
    });
  }
});

describe("the rules", () => {
  for (const { rule, applies, find, bad, good } of rules) {
    it(`catch what breaks them: ${rule}`, () => {
      const missed = bad.filter((source) => !applies(source.path) || find(source).length === 0);
      expect(missed).toEqual([]);
      expect(good.flatMap(find)).toEqual([]);
    });
  }
});
