import { parseArgs } from "node:util";
import { alone } from "./cluster/crew.js";
import { onStage } from "./cluster/stage.js";
import { round } from "./scenario.js";
import { Gauges, type Trend } from "./soak/gauges.js";
import { type Deeds, Life } from "./soak/life.js";
import { writeRows } from "./tables.js";

// Hours in minutes: a cluster in this process that never rests, and whether anything of the process grows with time.

const usage = "npm run soak -- [--minutes 10] [--nodes 50] [--seed 1] [--json]";
const fewestNodes = 8;

interface Options {
  readonly minutes: number;
  readonly nodes: number;
  readonly seed: number;
  readonly json: boolean;
}

interface Result {
  readonly minutes: number;
  readonly nodes: number;
  readonly samples: number;
  readonly deeds: Deeds;
  readonly trends: readonly Trend[];
  readonly falseFailures: number;
  readonly problems: readonly string[];
}

function soak({ minutes, nodes, seed, json }: Options): Promise<Result> {
  const scenario = {
    nodes,
    seed,
    threads: 1,
    seconds: null,
    parallel: 64,
    fault: "crash",
    kill: 1,
    repeats: 1,
    options: {},
  } as const;
  return onStage(scenario, alone, async (stage) => {
    await stage.open(nodes);
    await stage.gather(nodes);
    await stage.settle();
    const life = new Life(stage.cluster);
    const problems: string[] = [];
    await stage
      .during(
        () => "warming up",
        () => life.warmUp(),
      )
      .catch((error: Error) => problems.push(error.message));
    const waiting = (): number => stage.cluster.seats.reduce((sum, { node }) => sum + node.stats.messageDepth, 0);
    const [gauges, beganMs] = [new Gauges(waiting), performance.now()];
    const elapsed = (): number => (performance.now() - beganMs) / 60_000;
    try {
      while (elapsed() < minutes && problems.length === 0) {
        await stage.during(
          () => `${elapsed().toFixed(1)} of ${minutes} minutes`,
          () => life.round(),
        );
        gauges.sample();
        if (!json) process.stderr.write(`soak: ${gauges.samples} samples in ${elapsed().toFixed(1)} minutes\n`);
      }
    } catch (error) {
      problems.push((error as Error).message);
    } finally {
      life.stop();
    }
    const trends = gauges.trends();
    const { deeds, falseFailures } = life;
    for (const { gauge, isFlat } of trends) if (!isFlat) problems.push(`${gauge} grows`);
    if (deeds.copies > 0) problems.push(`${deeds.copies} copies of broadcasts were delivered`);
    if (falseFailures > 0) problems.push(`${falseFailures} failures were reported of members that had not crashed`);
    return { minutes: round(elapsed()), nodes, samples: gauges.samples, deeds, trends, falseFailures, problems };
  });
}

function report({ problems, trends, deeds, ...figures }: Result): void {
  const head = ["what", "first", "last", "a minute", "standard error", "bound", "verdict"];
  const rows = trends.map(({ gauge, first, last, perMinute, error, boundPerMinute, isFlat }) => [
    gauge,
    ...[first, last, perMinute, error, boundPerMinute].map(String),
    isFlat ? "flat" : "GROWS",
  ]);
  writeRows([head, ...rows]);
  writeRows(Object.entries({ ...figures, ...deeds }).map(([name, value]) => [name, String(value)]));
  for (const problem of problems) console.error(`soak: ${problem}`);
}

function parse(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: "string", default: "10" },
      nodes: { type: "string", default: "50" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  const [minutes, nodes, seed] = [values.minutes, values.nodes, values.seed].map(Number) as [number, number, number];
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes} is no time`);
  if (!Number.isInteger(nodes) || nodes < fewestNodes)
    throw new Error(`--nodes ${values.nodes}: ${fewestNodes} or more`);
  if (!Number.isInteger(seed)) throw new Error(`--seed ${values.seed} is no whole number`);
  return { minutes, nodes, seed, json: values.json };
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2));
  const result = await soak(options);
  report(result);
  if (options.json) console.log(JSON.stringify(result));
  return result.problems.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error) => {
  console.error(`soak: ${(error as Error).message}\n${usage}`);
  return 2;
});
