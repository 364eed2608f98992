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
import { runSwarm, type SwarmResult } from "../sim/swarm.js";
import { mixHashes } from "../sim/trace.js";
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
    loss: { type: "string", default: "0" },
    json: { type: "boolean", default: false },
  });
  const { scenario } = flags;
  if (!scenarios.includes(scenario)) {
    throw new UsageError(`there is no scenario ${scenario}`, `give one of ${scenarios.join(", ")}`);
  }
  const nodes = parseCount("nodes", flags.nodes, 2, 20_000);
  const seed = parseCount("seed", flags.seed, 0, Number.MAX_SAFE_INTEGER);
  const runs = parseCount("runs", flags.runs, 1, 1_000_000);
  const lossRate = parseCount("loss", flags.loss, 0, 99) / 100;
  const measure = measures[scenario];
  const experiment = experiments.get(scenario);
  const report = measure
    ? reportMeasures(measure, { nodes, seed, lossRate }, runs)
    : experiment
      ? reportExperiment(experiment, { size: "quick", nodes, seed, runs })
      : reportSwarm(nodes, seed, runs);
  if (flags.json) console.log(JSON.stringify({ scenario, nodes, seed, runs, ...report }));
  return report.violations === 0 ? 0 : 1;
}

/** Every run has the next seed. */
function reportSwarm(nodes: number, firstSeed: number, runs: number): Report {
  let violations = 0;
  let falseFailures = 0;
  const failedSeeds: number[] = [];
  const healMs: number[] = [];
  const hashes: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const result = runSwarm(seed, nodes);
    violations += result.found;
    falseFailures += result.falseFailures;
    hashes.push(result.traceHash);
    if (result.healMs !== null) healMs.push(result.healMs);
    if (result.found > 0) {
      failedSeeds.push(seed);
      describeViolations(result);
    }
    if (runs <= 20 || (seed - firstSeed + 1) % 50 === 0) console.log(describeRun(result, seed - firstSeed + 1, runs));
  }
  console.log(
    `${runs} runs of ${nodes} nodes: ${violations} violations, seeds with one: ${failedSeeds.join(", ") || "none"}`,
  );
  const slowestHealMs = Math.round(healMs.reduce((most, ms) => Math.max(most, ms), 0));
  return { violations, failedSeeds, falseFailures, slowestHealMs, traceHash: mixHashes(hashes) };
}

function describeRun({ seed, faults, found, healMs, datagrams, traceHash }: SwarmResult, done: number, runs: number) {
  const healed = healMs === null ? "never agreed again" : `agreed ${(healMs / 1000).toFixed(1)} s after the healing`;
  const counts = `${found} violations, ${healed}, ${datagrams} datagrams`;
  return `${done}/${runs} seed ${seed}: ${counts}, ${traceHash} (${faults})`;
}

function describeViolations({ seed, violations }: SwarmResult): void {
  for (const { atMs, rule, text } of violations.slice(0, 5)) {
    console.log(`  seed ${seed}, ${(atMs / 1000).toFixed(3)} s, ${rule}: ${text}`);
  }
}

function reportMeasures(measure: (options: MeasureOptions) => Measured, options: MeasureOptions, runs: number): Report {
  const all = Array.from({ length: runs }, (_, i) => measure({ ...options, seed: options.seed + i }));
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
  const violations = all.reduce((sum, { falseFailures }) => sum + falseFailures, 0);
  return { violations, ...all[0]?.figures, traceHash: mixHashes(all.map(({ traceHash }) => traceHash)) };
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
