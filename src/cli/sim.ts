import { type Experiment, experiments, type Scale } from "../sim/experiments/index.js";
import { fill, hashOf, toText, violationsOf } from "../sim/experiments/report.js";
import {
  type Measured,
  type MeasureOptions,
  measureCrash,
  measureJoin,
  measureLeave,
  measureSilent,
  measureSteady,
  measureStorm,
} from "../sim/measure.js";
import { mixHashes } from "../sim/trace.js";
import { figuresOf, Picture } from "./sim_picture.js";
import { reportSwarm } from "./sim_swarm.js";
import { parseCount, parseFlags, UsageError } from "./usage.js";

const measures: Record<string, (options: MeasureOptions) => Measured> = {
  steady: measureSteady,
  crash: measureCrash,
  silent: measureSilent,
  leave: measureLeave,
  storm: measureStorm,
  join: measureJoin,
};
const scenarios = [...new Set(["swarm", ...Object.keys(measures), ...experiments.keys()])];

interface Report {
  readonly violations: number;
  readonly traceHash: string;
  readonly [figure: string]: unknown;
}

/** `tattler sim`: a named scenario in virtual time; exits with 1 when it finds a violation. */
export async function runSim(args: string[]): Promise<number> {
  const flags = parseFlags(args, {
    scenario: { type: "string", default: "swarm" },
    nodes: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    loss: { type: "string", default: "0" },
    seconds: { type: "string", default: "60" },
    repeats: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    html: { type: "string" },
  });
  const { scenario, html } = flags;
  if (!scenarios.includes(scenario)) {
    throw new UsageError(`there is no scenario ${scenario}`, `give one of ${scenarios.join(", ")}`);
  }
  const nodes = parseCount("nodes", flags.nodes, 2, 50_000);
  const seed = parseCount("seed", flags.seed, 0, Number.MAX_SAFE_INTEGER);
  const runs = parseCount("runs", flags.runs, 1, 1_000_000);
  const jobs = parseCount("jobs", flags.jobs, 1, 256);
  const lossRate = parseCount("loss", flags.loss, 0, 99) / 100;
  const seconds = parseCount("seconds", flags.seconds, 1, 86_400);
  const repeats = parseCount("repeats", flags.repeats, 1, 10_000);
  const measure = measures[scenario];
  const experiment = experiments.get(scenario);
  if (html !== undefined) checkDrawable(scenario, jobs);
  const picture = html === undefined ? undefined : new Picture(html, { scenario, nodes, seed, lossRate, runs });
  const report = measure
    ? reportMeasures(measure, { nodes, seed, lossRate, seconds, repeats }, runs, picture)
    : experiment
      ? reportExperiment(experiment, { size: "quick", nodes, seed, runs })
      : await reportSwarm({ nodes, seed, runs, jobs }, picture);
  if (flags.json) console.log(JSON.stringify({ scenario, nodes, seed, runs, ...report }));
  return report.violations === 0 ? 0 : 1;
}

function checkDrawable(scenario: string, jobs: number): void {
  const drawable = ["swarm", ...Object.keys(measures)];
  if (!drawable.includes(scenario)) {
    const problem = `--html draws one run, and ${scenario} is a table of many`;
    throw new UsageError(problem, `give --scenario one of ${drawable.join(", ")}`);
  }
  if (jobs > 1) throw new UsageError("--html looks on in its own thread", "give it without --jobs");
}

function reportMeasures(
  measure: (options: MeasureOptions) => Measured,
  options: MeasureOptions,
  runs: number,
  picture: Picture | undefined,
): Report {
  const all = Array.from({ length: runs }, (_, i) => {
    return measure({ ...options, seed: options.seed + i, recorder: i === 0 ? picture?.recorder : undefined });
  });
  for (const { figures, falseFailures } of all) {
    for (const [name, value] of Object.entries(figures)) {
      const text =
        typeof value === "number"
          ? round(value)
          : `p50 ${round(value.p50)}, p99 ${round(value.p99)}, max ${round(value.max)}`;
      console.log(`${name.padEnd(32)} ${text}`);
    }
    console.log(`${"falseFailures".padEnd(32)} ${falseFailures}`);
  }
  const [first] = all as [Measured];
  picture?.draw({ traceHash: first.traceHash, figures: figuresOf(first) });
  const violations = all.reduce((sum, { falseFailures }) => sum + falseFailures, 0);
  return { violations, ...first.figures, traceHash: mixHashes(all.map(({ traceHash }) => traceHash)) };
}

/** The tables of bench/RESULTS.md, in small and with so many nodes. */
function reportExperiment(experiment: Experiment, scale: Scale): Report {
  const cells = experiment.cells(scale);
  const outcomes = cells.map((cell) => cell.run());
  for (const table of fill(experiment, cells, outcomes)) console.log(`${toText(table)}\n`);
  return { violations: violationsOf(cells, outcomes), cells: cells.length, traceHash: hashOf(outcomes) };
}

function round(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value * 100) / 100) : "never";
}
