import { Worker } from "node:worker_threads";
import { describeMs } from "../sim/picture/svg.js";
import { runSwarm, type SwarmResult } from "../sim/swarm.js";
import { mixHashes } from "../sim/trace.js";
import type { Picture } from "./sim_picture.js";

export interface SwarmRuns {
  readonly nodes: number;
  /** Every run has the next one. */
  readonly seed: number;
  readonly runs: number;
  /** Threads. */
  readonly jobs: number;
}

/** So many runs are told one by one; of more every fiftieth. */
const fewRuns = 20;

/** Lives of clusters, and what was found in them; the same figures whatever the number of threads. */
export async function reportSwarm(given: SwarmRuns, picture?: Picture) {
  const { nodes, seed: firstSeed, runs, jobs } = given;
  const results: SwarmResult[] = new Array(runs);
  let done = 0;
  const take = (result: SwarmResult): void => {
    results[result.seed - firstSeed] = result;
    describeViolations(result);
    done++;
    if (runs <= fewRuns || done % 50 === 0) console.log(describeRun(result, done, runs));
  };
  if (jobs > 1) await runThreads(given, take);
  else for (let i = 0; i < runs; i++) take(runSwarm(firstSeed + i, nodes, i === 0 ? picture?.recorder : undefined));
  if (picture !== undefined) drawRun(picture, results[0] as SwarmResult);
  const failedSeeds = results.filter(({ found }) => found > 0).map(({ seed }) => seed);
  const violations = results.reduce((sum, { found }) => sum + found, 0);
  const falseFailures = results.reduce((sum, result) => sum + result.falseFailures, 0);
  const slowestHealMs = Math.round(results.reduce((most, { healMs }) => Math.max(most, healMs ?? 0), 0));
  console.log(
    `${runs} runs of ${nodes} nodes: ${violations} violations, seeds with one: ${failedSeeds.join(", ") || "none"}`,
  );
  const traceHash = mixHashes(results.map((result) => result.traceHash));
  return { violations, failedSeeds, falseFailures, slowestHealMs, traceHash };
}

/** Each thread takes the next seed when it has done one. */
async function runThreads({ nodes, seed, runs, jobs }: SwarmRuns, take: (result: SwarmResult) => void): Promise<void> {
  let next = seed;
  const work = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      const advance = (): void => (next < seed + runs ? worker.postMessage({ seed: next++, nodes }) : resolve());
      worker.on("message", (result: SwarmResult) => {
        take(result);
        advance();
      });
      worker.on("error", reject);
      worker.on("exit", (code) => reject(new Error(`a thread of the simulation ended with ${code}`)));
      advance();
    });
  const workers = Array.from(
    { length: Math.min(jobs, runs) },
    () => new Worker(new URL("./sim_worker.js", import.meta.url)),
  );
  try {
    await Promise.all(workers.map(work));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function describeRun({ seed, faults, found, healMs, datagrams, traceHash }: SwarmResult, done: number, runs: number) {
  const healed = healMs === null ? "never agreed again" : `agreed ${(healMs / 1000).toFixed(1)} s after the healing`;
  const counts = `${found} violations, ${healed}, ${datagrams} datagrams`;
  return `${done}/${runs} seed ${seed}: ${counts}, ${traceHash} (${faults})`;
}

function drawRun(picture: Picture, { traceHash, faults, found, falseFailures, healMs, datagrams }: SwarmResult): void {
  const figures = [
    { name: "violations", value: String(found) },
    { name: "false failures", value: String(falseFailures) },
    { name: "all agreed after the faults", value: describeMs(healMs ?? Number.POSITIVE_INFINITY) },
    { name: "datagrams", value: datagrams.toLocaleString("en") },
  ];
  picture.draw({ traceHash, figures, faults });
}

function describeViolations({ seed, violations }: SwarmResult): void {
  for (const { atMs, rule, text } of violations.slice(0, 5)) {
    console.log(`  seed ${seed}, ${(atMs / 1000).toFixed(3)} s, ${rule}: ${text}`);
  }
}
