import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cellsOf, type Experiment, experiments, type Outcome, type Scale } from "../src/sim/experiments/index.js";
import { fill, hashOf, toMarkdown } from "../src/sim/experiments/report.js";
import { commandOf } from "./experiments/command.js";

// The experiments themselves are shipped (src/sim/experiments), so that users repeat them with `tattler sim`; processes
// and files, which the simulator may not touch, are here.

const usage = `npm run experiments -- [${[...experiments.keys()].join("|")}|all]... [--quick] [--jobs 2]
    [--seed 1] [--runs N] [--nodes N] [--setup NAME] [--out bench/RESULTS.md] [--dry]
all: but ${[...experiments.values()]
  .filter(({ isLong }) => isLong)
  .map(({ name }) => name)
  .join(", ")}, which takes hours`;

/** What a process is asked to run. */
interface Task {
  readonly name: string;
  readonly scale: Scale;
  readonly index: number;
}

async function main(): Promise<number> {
  if (process.send !== undefined) return serve();
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      dry: { type: "boolean", default: false },
      jobs: { type: "string", default: "2" },
      seed: { type: "string", default: "1" },
      runs: { type: "string" },
      nodes: { type: "string" },
      setup: { type: "string" },
      out: { type: "string", default: "bench/RESULTS.md" },
    },
  });
  const scale: Scale = {
    size: values.quick ? "quick" : "full",
    seed: Number(values.seed),
    ...(values.runs === undefined ? {} : { runs: Number(values.runs) }),
    ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
    ...(values.setup === undefined ? {} : { setup: values.setup }),
  };
  const numbers = [Number(values.jobs), scale.seed, scale.runs ?? 0, scale.nodes ?? 0];
  if (!numbers.every((value) => Number.isInteger(value) && Number(value) >= 0)) return fail("give whole numbers");
  const usual = [...experiments].filter(([, { isLong }]) => !isLong).map(([name]) => name);
  const names = positionals.length === 0 || positionals.includes("all") ? usual : positionals;
  const unknown = names.find((name) => !experiments.has(name));
  if (unknown !== undefined) return fail(`there is no experiment ${unknown}`);
  for (const name of names) {
    const experiment = experiments.get(name) as Experiment;
    const section = describe(experiment, scale, await runAll(experiment, scale, Math.max(1, Number(values.jobs))));
    if (values.dry) console.log(section);
    else writeSection(values.out, name, section);
  }
  return 0;
}

/** The outcomes of all cells, in their order, from `jobs` processes. */
async function runAll(experiment: Experiment, scale: Scale, jobs: number): Promise<Outcome[]> {
  const { length } = cellsOf(experiment, scale);
  const outcomes: Outcome[] = new Array(length);
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    const child = fork(fileURLToPath(import.meta.url), { serialization: "advanced" });
    for (let index = next++; index < length; index = next++) {
      outcomes[index] = await ask(child, { name: experiment.name, scale, index });
      process.stderr.write(`\r${experiment.name}: ${++done} of ${length} cells `);
    }
    child.disconnect();
  };
  await Promise.all(Array.from({ length: Math.min(jobs, length) }, work));
  process.stderr.write("\n");
  return outcomes;
}

function ask(child: ChildProcess, task: Task): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const lost = (code: number | null): void => reject(new Error(`a process ended with ${code} in cell ${task.index}`));
    child.once("exit", lost);
    child.once("message", (outcome) => {
      child.off("exit", lost);
      resolve(outcome as Outcome);
    });
    child.send(task);
  });
}

/** The other side of ask(): until the parent lets go. */
function serve(): Promise<number> {
  process.on("message", ({ name, scale, index }: Task) => {
    const cell = cellsOf(experiments.get(name) as Experiment, scale)[index];
    if (cell === undefined) throw new Error(`there is no cell ${index} in ${name}`);
    process.send?.(cell.run());
  });
  return new Promise((resolve) => process.on("disconnect", () => resolve(0)));
}

function describe(experiment: Experiment, scale: Scale, outcomes: readonly Outcome[]): string {
  const cells = cellsOf(experiment, scale);
  const seeds = [...new Set(cells.map(({ seed }) => seed))];
  const range = seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${Math.min(...seeds)} to ${Math.max(...seeds)}`;
  const counts = `${cells.length} runs, ${range}, trace ${hashOf(outcomes)}`;
  const head = `\`${commandOf([experiment.name], scale)}\`: ${counts}.`;
  return [head, ...fill(experiment, cells, outcomes).map(toMarkdown)].join("\n\n");
}

/** Puts the section between its marks, or at the end; what people wrote around it stays. */
function writeSection(path: string, name: string, section: string): void {
  const [from, to] = [`<!-- figures: ${name} -->`, `<!-- end: ${name} -->`];
  const marked = `${from}\n${section}\n${to}`;
  const text = existsSync(path) ? readFileSync(path, "utf8") : "# Results\n";
  const [start, end] = [text.indexOf(from), text.indexOf(to)];
  const title = experiments.get(name)?.title ?? name;
  const isThere = start >= 0 && end > start;
  const added = `${text.trimEnd()}\n\n## ${title}\n\n${marked}\n`;
  writeFileSync(path, isThere ? text.slice(0, start) + marked + text.slice(end + to.length) : added);
}

function fail(problem: string): number {
  console.error(`experiments: ${problem}\n${usage}`);
  return 2;
}

process.exitCode = await main();
