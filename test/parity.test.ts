/** Keeps test/PARITY.md true: every row is there once, and every test that it names exists. */
import { readFileSync } from "node:fs";
import ts from "typescript";
import { describe, expect, it } from "vitest";

interface Row {
  readonly id: string;
  readonly verdict: string;
  readonly text: string;
  readonly proofs: readonly { readonly file: string; readonly title: string }[];
}

const root = new URL("..", import.meta.url);
const verdicts = ["same", "better", "different"];

/** The rows of memberlist's catalogue: features, the tests of its own suite, its known defects. */
const expected = [
  ...ids("M", [1, 30], [40, 75], [80, 89], [100, 120], [130, 139], [150, 159], [170, 176], [180, 189], [195, 199]),
  ...ids("M", [210, 216]),
  ...ids("T", [1, 19], [30, 43], [50, 59]),
  ...ids("E", [1, 26], [50, 62], [70, 77]),
];

function ids(letter: string, ...ranges: (readonly [number, number])[]): string[] {
  const digits = letter === "E" ? 2 : 3;
  return ranges.flatMap(([first, last]) => {
    return Array.from({ length: last - first + 1 }, (_, i) => `${letter}-${String(first + i).padStart(digits, "0")}`);
  });
}

function readRows(): Row[] {
  const lines = readFileSync(new URL("test/PARITY.md", root), "utf8").split("\n");
  return lines.filter((line) => /^\| [A-Z]-\d/.test(line)).map(rowOf);
}

function rowOf(line: string): Row {
  const [, id = "", verdict = "", text = "", proof = ""] = line.split("|").map((cell) => cell.trim());
  const proofs = [...proof.matchAll(/`(test\/[^`]+)` ([^·]+)/g)].map(([, file = "", title = ""]) => {
    return { file, title: title.trim() };
  });
  return { id, verdict, text, proofs };
}

const titles = new Map<string, ReadonlySet<string>>();

/** What the tests of a file are called, as they are written there. */
function titlesOf(file: string): ReadonlySet<string> {
  const known = titles.get(file);
  if (known !== undefined) return known;
  const text = readFileSync(new URL(file, root), "utf8");
  const found = file.endsWith(".cc") ? cppTests(text) : typescriptTests(file, text);
  titles.set(file, found);
  return found;
}

function cppTests(text: string): ReadonlySet<string> {
  const defined = [...text.matchAll(/^void (test\w+)\(\)/gm)].map(([, name]) => name as string);
  return new Set(defined.filter((name) => text.includes(`  ${name}();`)));
}

function typescriptTests(file: string, text: string): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^it\b/.test(node.expression.getText())) {
      const [title] = node.arguments;
      if (title !== undefined && ts.isStringLiteralLike(title)) found.add(title.text);
      else if (title !== undefined && ts.isTemplateExpression(title)) found.add(title.getText().slice(1, -1));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return found;
}

describe("PARITY.md", () => {
  const rows = readRows();

  it("has every row once, in order", () => {
    expect(rows.map(({ id }) => id)).toEqual(expected);
  });

  it("says of each what tattler does, and never that it will", () => {
    for (const { id, verdict, text } of rows) {
      expect(verdicts, id).toContain(verdict);
      expect(text.length, id).toBeGreaterThan(3);
      expect(text, id).not.toMatch(/\b(later|todo|not yet|planned)\b/i);
    }
  });

  it("names for each at least one test, and only tests that exist", () => {
    const missing = rows.flatMap(({ id, proofs }) => {
      if (proofs.length === 0) return [`${id}: no test`];
      return proofs.filter(({ file, title }) => !titlesOf(file).has(title)).map(({ title }) => `${id}: ${title}`);
    });
    expect(missing).toEqual([]);
  });

  it("would miss a test that is not there", () => {
    const broken = rowOf("| M-001 | same | text | `test/parity.test.ts` has every row, in no order |");
    expect(broken.proofs.map(({ file, title }) => titlesOf(file).has(title))).toEqual([false]);
    const sound = rowOf("| M-001 | same | text | `test/parity.test.ts` has every row once, in order · `test/x.ts` y |");
    expect(sound.proofs[0]).toEqual({ file: "test/parity.test.ts", title: "has every row once, in order" });
    expect(titlesOf("test/parity.test.ts").has("has every row once, in order")).toBe(true);
    expect(sound.proofs).toHaveLength(2);
  });
});
