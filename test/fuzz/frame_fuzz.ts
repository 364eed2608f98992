/**
 * Hostile state syncs against the production decoder, Sync and Roster: frames that are mutated from a corpus or built
 * of hostile fields, from a seed. A turn that takes a new way through the code joins the pool that mutation starts
 * from.
 *
 *     node build/fuzz-js/test/fuzz/frame_fuzz.js [--seconds 60] [--turns N] [--seed N] [--corpus DIR] [--findings DIR]
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { loadAddon, openHub } from "../../src/io/native.js";
import { Random } from "../../src/random.js";
import { FrameMutator } from "./frame_mutator.js";
import { cluster, FrameTarget } from "./frame_target.js";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    turns: { type: "string", default: "Infinity" },
    seed: { type: "string", default: String(Date.now() % 2 ** 32) },
    corpus: { type: "string", default: "test/fuzz/corpus/frame_fuzz" },
    findings: { type: "string", default: "build/fuzz/frame_fuzz" },
  },
});

const { hub } = openHub(loadAddon(), "manual", () => {});
const endpoint = hub.open({
  ip: new Uint8Array(16),
  port: 0,
  self: hub.intern("self"),
  cluster,
  keyring: null,
  stallToleranceMs: 0,
  pingsPerSecond: 0,
  datagramBytes: 1400,
  retransmitMult: 4,
  queueRecords: 16,
  messageShare: 0,
});
const now = (): number => performance.now();
/** Of this process: on a busy machine a turn may stand still for seconds, which is no hang. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const target = new FrameTarget((frame) => endpoint.verifyFrame(frame), cpuMs);
const corpus = readdirSync(values.corpus).map((file) => new Uint8Array(readFileSync(join(values.corpus, file))));
const seed = Number(values.seed);
const mutator = new FrameMutator(new Random(seed), [...corpus]);
const mostPooled = 2000;
const signatures = new Map<string, number>();
const turns = { all: 0, applied: 0 };

async function tryTurn(frames: readonly Uint8Array[]): Promise<void> {
  turns.all++;
  const { isApplied, signature } = await target.run(frames);
  if (isApplied) turns.applied++;
  const seen = signatures.get(signature) ?? 0;
  signatures.set(signature, seen + 1);
  if (seen === 0 && mutator.pool.length < mostPooled) mutator.pool.push(...frames);
}

function report(): void {
  const seconds = now() / 1000;
  const rate = Math.round(turns.all / seconds);
  const applied = Math.round((100 * turns.applied) / turns.all);
  const rssMb = Math.round(process.memoryUsage().rss / 2 ** 20);
  console.log(
    `seed ${seed}: ${turns.all} turns in ${Math.round(seconds)} s, ${rate}/s, ${applied} % applied, ` +
      `${signatures.size} ways, pool ${mutator.pool.length}, ${rssMb} MB`,
  );
}

async function fuzz(): Promise<void> {
  for (const frame of corpus) await tryTurn([frame]);
  const endMs = Number(values.seconds) * 1000;
  const most = Number(values.turns);
  let reportAtMs = 60_000;
  while (turns.all < most && now() < endMs) {
    const frames = mutator.turn();
    try {
      await tryTurn(frames);
    } catch (error) {
      mkdirSync(values.findings, { recursive: true });
      frames.forEach((frame, i) => {
        writeFileSync(join(values.findings, `finding-${seed}-${turns.all}-${i}`), frame);
      });
      console.error(`finding in turn ${turns.all} of seed ${seed}, written to ${values.findings}:`, error);
      process.exitCode = 1;
      return;
    }
    if (now() < reportAtMs) continue;
    reportAtMs += 60_000;
    report();
  }
  target.endLife();
}

await fuzz();
report();
hub.close();
