import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** One file of the project, with its path from the root. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly line: number;
  readonly what: string;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Every hand-written source: not what the schema generates, not the headers of others. */
export function handWritten(): Source[] {
  const isSource = (path: string): boolean => /\.(ts|mjs|cc|h)$/.test(path) || path.startsWith(".ci/");
  const isForeign = (path: string): boolean => /(^|\/)(generated|vendor)\/|_generated\.h$/.test(path);
  return ["src", "native", "bench", "test", ".ci"]
    .flatMap(filesUnder)
    .filter((path) => isSource(path) && !isForeign(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function filesUnder(folder: string): string[] {
  try {
    const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
  } catch {
    return []; // bench may not exist
  }
}

export const isTypeScript = (path: string): boolean => path.endsWith(".ts");
export const isCpp = (path: string): boolean => /\.(cc|h)$/.test(path);

/** Where a pattern matches, line by line. */
export function matches(source: Source, pattern: RegExp): Finding[] {
  return source.text.split("\n").flatMap((line, index) => {
    const found = pattern.exec(line);
    return found ? [{ line: index + 1, what: found[0].trim() }] : [];
  });
}

/** Calls visit with every syntax node; what it returns is a finding at that node. */
export function walk(source: Source, visit: (node: ts.Node) => string | undefined): Finding[] {
  const file = ts.createSourceFile(basename(source.path), source.text, ts.ScriptTarget.Latest, true);
  const findings: Finding[] = [];
  const step = (node: ts.Node): void => {
    const what = visit(node);
    if (what !== undefined) {
      findings.push({ line: file.getLineAndCharacterOfPosition(node.getStart()).line + 1, what });
    }
    ts.forEachChild(node, step);
  };
  step(file);
  return findings;
}

/** The module that an import, a re-export, an import type or a dynamic import names. */
export function moduleNamed(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier);
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return textOf(node.argument.literal);
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
    return textOf(node.arguments[0]);
  return undefined;
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node && ts.isStringLiteral(node) ? node.text : undefined;
}

/** An identifier that stands for itself: not the name of somebody's property. */
export function freeName(node: ts.Node): string | undefined {
  if (!ts.isIdentifier(node)) return undefined;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return undefined;
  const names = ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent);
  return names && parent.name === node ? undefined : node.text;
}

/** Function bodies over the limit; the callback of describe() is a list of tests, not a function. */
export function longTypeScriptFunctions(source: Source, limit: number): Finding[] {
  return walk(source, (node) => {
    if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return undefined;
    const { parent } = node;
    const isSuite = ts.isCallExpression(parent) && /^describe\b/.test(parent.expression.getText());
    const lines = node.getText().split("\n").length;
    return isSuite || lines <= limit ? undefined : `a function of ${lines} lines`;
  });
}

/** The same for C++, by matching braces outside of comments, strings and character literals. */
export function longCppFunctions(source: Source, limit: number): Finding[] {
  const blank = (found: string): string => found.replace(/[^\n]/g, " ");
  const code = source.text
    .replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])+'/g, blank)
    .replace(/^[ \t]*#(?:[^\n]*\\\n)*[^\n]*/gm, blank);
  const findings: Finding[] = [];
  const open: { isFunction: boolean; line: number }[] = [];
  let headerAt = 0;
  for (let i = 0; i < code.length; i++) {
    const character = code[i];
    if (character === "{") {
      const header = code.slice(headerAt, i);
      const isFunction = header.includes("(") && !open.some((block) => block.isFunction);
      const skipped = header.length - header.trimStart().length;
      open.push({ isFunction, line: lineAt(code, headerAt + skipped) });
    }
    if (character === "}") {
      const block = open.pop();
      const lines = block ? lineAt(code, i) - block.line + 1 : 0;
      if (block?.isFunction && lines > limit) findings.push({ line: block.line, what: `a function of ${lines} lines` });
    }
    if (character === "{" || character === "}" || character === ";") headerAt = i + 1;
  }
  return findings;
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
