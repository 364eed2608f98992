import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import type { Outcome, Scale } from "../../src/sim/experiments/index.js";
import { commandOf } from "./command.js";

/** The run that outcomes come from; they are of no use to another. */
export interface Origin {
  readonly experiments: readonly string[];
  readonly scale: Scale;
  /** What hashOfProgram() gave. */
  readonly program: string;
}

/** A finished cell. */
interface Line extends Outcome {
  readonly experiment: string;
  readonly cell: number;
}

/** The outcomes of finished cells in a file, a line for each, so that a run that was killed goes on from there. */
export class KeptOutcomes {
  readonly path: string;
  readonly #byCell = new Map<string, Outcome>();

  /** Begins the file, or reads it. Throws, and leaves it as it is, when it is not this run's. */
  constructor(path: string, origin: Origin) {
    this.path = path;
    const head = encode(origin);
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const isNew = head.startsWith(text); // nothing, or what a kill left of the first line
    if (isNew) writeFileSync(path, head);
    else this.#read(text, origin);
  }

  get(experiment: string, cell: number): Outcome | undefined {
    return this.#byCell.get(keyOf(experiment, cell));
  }

  add(experiment: string, cell: number, { samples, traceHash }: Outcome): void {
    const line: Line = { experiment, cell, traceHash, samples };
    appendFileSync(this.path, encode(line));
    this.#byCell.set(keyOf(experiment, cell), line);
  }

  #read(text: string, origin: Origin): void {
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const [head = "", ...lines] = whole.split("\n").slice(0, -1);
    requireSame(this.path, head, origin);
    for (const [i, line] of lines.entries()) this.#readLine(line, i + 2);
    // What a kill cut off: the next line must not be glued to it.
    if (whole.length < text.length) truncateSync(this.path, Buffer.byteLength(whole));
  }

  #readLine(text: string, number: number): void {
    const line = decode(text) as Line | null;
    if (!line?.samples) throw new Error(`line ${number} of ${this.path} is broken; delete it, and its cell runs again`);
    this.#byCell.set(keyOf(line.experiment, line.cell), line);
  }
}

function keyOf(experiment: string, cell: number): string {
  return `${experiment} ${cell}`;
}

function requireSame(path: string, head: string, origin: Origin): void {
  const found = decode(head) as Origin | null;
  if (!found?.program || !found.experiments || !found.scale)
    throw new Error(`${path} holds no outcomes of experiments; give another file`);
  if (found.program !== origin.program)
    throw new Error(`${path} is from another build, whose figures may differ; delete it or give another file`);
  if (encode(found) !== encode(origin))
    throw new Error(
      `${path} is from \`${commandOf(found.experiments, found.scale)}\`; run that, delete it or give another file`,
    );
}

/** Numbers that JSON has no word for, by the text that stands for them. */
const unsayable: ReadonlyMap<unknown, number> = new Map([
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
  ["NaN", Number.NaN],
  ["-0", -0],
]);

function encode(value: Origin | Line): string {
  const say = (_key: string, part: unknown): unknown => {
    if (Object.is(part, -0)) return "-0";
    return typeof part === "number" && !Number.isFinite(part) ? String(part) : part;
  };
  return `${JSON.stringify(value, say)}\n`;
}

/** Null when it is no JSON. */
function decode(text: string): unknown {
  try {
    return JSON.parse(text, (_key, part: unknown) => unsayable.get(part) ?? part);
  } catch {
    return null;
  }
}
