import { closeSync, openSync, writeFileSync } from "node:fs";
import type { Measured, Spread } from "../sim/measure.js";
import { type Caption, drawPage, type Figure } from "../sim/picture/page.js";
import { describeMs } from "../sim/picture/svg.js";
import { Recorder } from "../sim/recorder.js";
import { UsageError } from "./usage.js";

/** What made the run that is drawn: the first of them. */
export interface DrawnRun {
  readonly scenario: string;
  readonly nodes: number;
  readonly seed: number;
  readonly lossRate: number;
  readonly runs: number;
}

/** What came of it. */
export interface DrawnResult {
  readonly traceHash: string;
  readonly figures: readonly Figure[];
  readonly faults?: readonly string[];
}

const subjects: Readonly<Record<string, string>> = {
  swarm: "a random life with faults",
  steady: "nothing happens",
  crash: "processes die, their machines say so",
  silent: "machines fall silent",
  leave: "members say that they leave",
  storm: "a tenth crashes at the same instant",
  join: "all start at once and join through one",
};

/** Measures that a picture names, in words; of the others it says nothing. */
const names: Readonly<Record<string, string>> = {
  firstMs: "first knows (median)",
  allMs: "all know",
  spreadMs: "from first to all (median)",
  datagramsPerNodeWhileSpreading: "datagrams a member",
  datagramsPerNodeSecond: "datagrams a member and second",
  bytesPerNodeSecond: "bytes a member and second",
  datagramsPerNode: "datagrams a member",
  bytesPerNode: "bytes a member",
  queueDepthMax: "most queued news",
  convergeMs: "all know all",
  ninetyNinePercentMs: "99 % is known",
};

/** The named ones of these, as people read them. */
export function figuresOf({ figures, falseFailures }: Measured): Figure[] {
  const named = Object.entries(figures).flatMap(([figure, value]) => {
    const name = names[figure];
    return name === undefined ? [] : [{ name, value: describe(figure, middleOf(value)) }];
  });
  return [...named, { name: "false failures", value: String(falseFailures) }];
}

/** A file that the first run is drawn into. */
export class Picture {
  readonly recorder: Recorder;
  readonly #path: string;
  readonly #file: number;
  readonly #run: DrawnRun;

  /** Opens the file at once: a wrong path is told before a long run, not after it. */
  constructor(path: string, run: DrawnRun) {
    try {
      this.#file = openSync(path, "w");
    } catch (error) {
      throw new UsageError(
        `--html cannot be written: ${(error as Error).message}`,
        "give a file in a folder that is there",
      );
    }
    this.#path = path;
    this.#run = run;
    this.recorder = new Recorder(run.nodes);
  }

  draw(result: DrawnResult): void {
    writeFileSync(this.#file, drawPage(this.recorder.recording, captionOf(this.#run, result)));
    closeSync(this.#file);
    console.log(`${"picture".padEnd(32)} ${this.#path}${this.#run.runs > 1 ? ", of the first run" : ""}`);
  }
}

function captionOf(run: DrawnRun, { traceHash, figures, faults }: DrawnResult): Caption {
  const { scenario, nodes, seed, lossRate, runs } = run;
  const about = [subjects[scenario] ?? scenario, `seed ${seed}`];
  if (runs > 1) about.push(`the first of ${runs} runs`);
  if (lossRate > 0) about.push(`${Math.round(lossRate * 100)} % of datagrams lost`);
  if (faults !== undefined) about.push(`faults: ${faults.join(", ")}`);
  return { title: `tattler ${scenario}, ${nodes.toLocaleString("en")} members`, about, traceHash, figures };
}

function middleOf(value: number | Spread): number {
  return typeof value === "number" ? value : value.p50;
}

function describe(figure: string, value: number): string {
  if (figure.endsWith("Ms")) return describeMs(value);
  return value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });
}
