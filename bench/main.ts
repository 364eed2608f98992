import { TattlerError } from "../src/errors.js";
import { runApart } from "./apart.js";
import { ArgumentError, type Arguments, parseArguments } from "./arguments.js";
import { btree } from "./cases/btree.js";
import { crypto } from "./cases/crypto.js";
import { decode } from "./cases/decode.js";
import { queue } from "./cases/queue.js";
import { scenarios } from "./cases/scenarios.js";
import { udp } from "./cases/udp.js";
import { playTogether } from "./cluster/crew.js";
import type { BenchCase, Comparison } from "./comparison.js";
import { runContest } from "./peers/contest.js";
import type { Report } from "./scenario.js";
import { scalingHead, scalingLine, writeComparisons, writeReport } from "./tables.js";

/** Every case by name. Each runs in a process of its own, so that none warms up or litters another. */
const comparisons: Record<string, BenchCase> = { udp, crypto, queue, decode };
/** Runs only as a part of `peers`: it needs memberlist's program. */
const partsOfPeers: Record<string, BenchCase> = { btree };

const usage = `npm run bench -- [${Object.keys(comparisons).join("|")}]... [--json] [--seconds 1] [--rounds 5]
npm run bench -- ${Object.keys(scenarios).join("|")} [--nodes 200] [--threads 1] [--seed 1] [--json]
    [--set option=value]...
    cluster: [--stay 60] [--parallel 64]     steady: [--seconds 30]     storm: [--seconds 10]
    detect: [--fault crash|silent|leave] [--kill 1] [--repeats 5]
npm run bench -- scaling [--sizes 100,200,300,500,1000,2000] [--threads 1] [--stay 60] [--repeats 5]
npm run bench -- peers [cluster|steady|detect|storm|queue]... [--against memberlist,foca] [--nodes 100] [--rounds 2]
    [--seconds S] [--fault crash|silent|leave] [--kill 1] [--repeats 3] [--json]`;

async function main(args: string[]): Promise<number> {
  const given = parseArguments(args);
  if (given.run !== null) return runHere(given.run, given);
  if (given.names[0] === "scaling" && given.names.length === 1) return runScaling(given, args);
  if (given.names[0] === "peers") return runContest(given, args);
  const unknown = given.names.find((name) => !(name in comparisons) && !(name in scenarios));
  if (unknown !== undefined) throw new ArgumentError(`there is no case ${unknown}`);
  let code = 0;
  for (const name of given.names.length > 0 ? given.names : Object.keys(comparisons)) {
    const result = await runApart(name, args);
    if (result === null) code = 1;
    else if (name in comparisons) show(result as Comparison[], given.json);
    else code = Math.max(code, conclude(result as Report, given.json));
  }
  return code;
}

async function runHere(name: string, given: Arguments): Promise<number> {
  const [compare, play] = [comparisons[name] ?? partsOfPeers[name], scenarios[name]];
  if (compare === undefined && play === undefined) throw new ArgumentError(`there is no case ${name}`);
  const { comparison, scenario } = given;
  const result =
    play === undefined
      ? await compare?.(comparison)
      : await playTogether(name, scenario, scenario.threads, (crew) => play(scenario, crew));
  console.log(JSON.stringify(result));
  return 0;
}

function show(result: readonly Comparison[], isJson: boolean): void {
  if (!isJson) return writeComparisons(result);
  for (const { spread, ...line } of result) console.log(JSON.stringify(line));
}

/** The exit code: 1 when something did not come about. */
function conclude(report: Report, isJson: boolean): number {
  const { problems, ...figures } = report;
  writeReport(report);
  for (const problem of problems) console.error(`bench: ${problem}`);
  if (isJson) console.log(JSON.stringify(figures));
  return problems.length === 0 ? 0 : 1;
}

/** Three cases for each size, and a table in Markdown, line by line. */
async function runScaling(given: Arguments, args: readonly string[]): Promise<number> {
  let code = 0;
  for (const head of scalingHead) console.log(head);
  for (const nodes of given.sizes) {
    const run = (name: string) => runApart(name, args, ["--nodes", String(nodes)]) as Promise<Report | null>;
    const [joined, stayed, detected] = [await run("cluster"), await run("steady"), await run("detect")];
    if (joined === null || stayed === null || detected === null) return 1;
    for (const problem of [joined, stayed, detected].flatMap(({ problems }) => problems)) {
      console.error(`bench: ${nodes} nodes: ${problem}`);
      code = 1;
    }
    console.log(scalingLine({ nodes, cluster: joined, steady: stayed, detect: detected }));
  }
  return code;
}

function fail(error: unknown): number {
  const text = error instanceof Error ? error.message : String(error);
  const isUsage = error instanceof ArgumentError || (error instanceof TattlerError && /OPTION/.test(error.code));
  const remedy = /EMFILE|too many open files/i.test(text) ? "; raise the limit of open files, ulimit -n 65536" : "";
  console.error(`bench: ${text}${remedy}${isUsage ? `\n${usage}` : ""}`);
  return isUsage ? 2 : 1;
}

process.exitCode = await main(process.argv.slice(2)).catch(fail);
