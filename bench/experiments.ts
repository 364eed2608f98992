import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cellsOf, type Experiment, experiments, type Outcome, type Scale } from "../src/sim/experiments/index.js";
import { fill, hashOf, toMarkdown } from "../src/sim/experiments/report.js";
import { commandOf } from "./experiments/command.js";
import { KeptOutcomes } from "./experiments/kept_outcomes.js";
import { hashOfProgram } from "./experiments/program.js";
import { cellsToCheck, compare } from "./experiments/staleness.js";

// The experiments themselves are shipped (src/sim/experiments), so that users repeat them with `tattler sim`; processes
// and files, which the simulator may not touch, are here. With --keep a run that was killed goes on where it was.

const usage = `npm run experiments -- [${[...experiments.keys()].join("|")}|all]... [--quick] [--jobs 2]
    [--seed 1] [--runs N] [--nodes N] [--setup NAME] [--out bench/RESULTS.md] [--dry]
    [--help] [--keep FILE], which gets each cell as it ends; given again after a kill, only the others run
    [--check]: runs one row of each table again and says whether --out still has its trace
all: but ${[...experiments.values()]
  .filter(({ isLong }) => isLong)
  .map(({ name }) => name)
  .join(", ")}, which take hours`;

/** What a process is asked to run. */
interface Task {
  readonly name: string;
  readonly scale: Scale;
  readonly index: number;
}

async function main(): Promise<number> {
  if (process.send !== undefined) return serve();
  let given: ReturnType<typeof parse>;
  try {
    given = parse();
  } catch (error) {
    return fail((error as Error).message.split(/\.\s/)[0] as string);
  }
  const { values, positionals } = given;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const scale: Scale = {
    size: values.quick ? "quick" : "full",
    seed: Number(values.seed),
    ...(values.runs === undefined ? {} : { runs: Number(values.runs) }),
    ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
    ...(values.setup === undefined ? {} : { setup: values.setup }),
  };
  const numbers = [Number(values.jobs), scale.seed, scale.runs ?? 1, scale.nodes ?? 1];
  if (!numbers.every((value) => Number.isInteger(value) && Number(value) >= 0)) return fail("give whole numbers");
  if (scale.runs === 0 || scale.nodes === 0) return fail("--runs and --nodes are 1 or more");
  const usual = [...experiments].filter(([, { isLong }]) => !isLong).map(([name]) => name);
  const wanted = positionals.length === 0 || positionals.includes("all") ? usual : positionals;
  const unknown = wanted.find((name) => !experiments.has(name));
  if (unknown !== undefined) return fail(`there is no experiment ${unknown}`);
  const names = wanted.filter((name) => cellsOf(experiments.get(name) as Experiment, scale).length > 0);
  if (names.length === 0)
    return fail(`no setup of ${wanted.join(", ")} has a name that begins with ${values.setup}`, "");
  if (values.check && !existsSync(values.out)) return fail(`there is no ${values.out} to check; give --out`, "");
  let kept: KeptOutcomes | null = null;
  try {
    if (values.keep !== undefined) kept = openKept(values.keep, names, scale);
  } catch (error) {
    return fail((error as Error).message, "");
  }
  const jobs = Math.max(1, Number(values.jobs));
  if (values.check) return check(values.out, names, scale, jobs, kept);
  for (const name of names) {
    const experiment = experiments.get(name) as Experiment;
    const outcomes = (await run(experiment, scale, jobs, kept)) as Outcome[];
    const section = describe(experiment, scale, outcomes);
    if (values.dry) console.log(section);
    else writeSection(values.out, name, section);
  }
  return 0;
}

/** Errors: a TypeError that names the flag. */
function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      help: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      dry: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      jobs: { type: "string", default: "2" },
      seed: { type: "string", default: "1" },
      runs: { type: "string" },
      nodes: { type: "string" },
      setup: { type: "string" },
      out: { type: "string", default: "bench/RESULTS.md" },
      keep: { type: "string" },
    },
  });
}

function openKept(path: string, names: readonly string[], scale: Scale): KeptOutcomes {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  return new KeptOutcomes(path, { experiments: names, scale, program: hashOfProgram(root) });
}

/** Whether the file's tables are of this program: 1 when a row has another trace. */
async function check(
  path: string,
  names: readonly string[],
  scale: Scale,
  jobs: number,
  kept: KeptOutcomes | null,
): Promise<number> {
  const text = readFileSync(path, "utf8");
  let stale = 0;
  for (const name of names) {
    const experiment = experiments.get(name) as Experiment;
    const cells = cellsOf(experiment, scale);
    const outcomes = await run(experiment, scale, jobs, kept, cellsToCheck(experiment, cells));
    for (const { title, row, trace, written } of compare(text, name, fill(experiment, cells, outcomes))) {
      const isSame = trace === written;
      if (!isSame) stale++;
      const told = isSame ? `as in ${path}` : `but ${path} has ${written ?? "no such row"}`;
      console.log(`${name}: ${title}: ${row}: trace ${trace}, ${told}`);
    }
  }
  return stale > 0 ? 1 : 0;
}

/** The outcomes of all cells or of some, each in its place: what is kept, and the others from `jobs` processes. */
async function run(
  experiment: Experiment,
  scale: Scale,
  jobs: number,
  kept: KeptOutcomes | null,
  some?: ReadonlySet<number>,
): Promise<(Outcome | undefined)[]> {
  const { name } = experiment;
  const outcomes: (Outcome | undefined)[] = cellsOf(experiment, scale).map(() => undefined);
  const wanted = [...outcomes.keys()].filter((index) => some?.has(index) ?? true);
  for (const index of wanted) outcomes[index] = kept?.get(name, index);
  const missing = wanted.filter((index) => outcomes[index] === undefined);
  const { length } = wanted;
  let done = length - missing.length;
  if (kept !== null && done > 0) process.stderr.write(`${name}: ${done} of ${length} cells are in ${kept.path}\n`);
  const work = async (): Promise<void> => {
    const child = fork(fileURLToPath(import.meta.url), { serialization: "advanced" });
    for (let index = missing.shift(); index !== undefined; index = missing.shift()) {
      const outcome = await ask(child, { name, scale, index });
      kept?.add(name, index, outcome);
      outcomes[index] = outcome;
      process.stderr.write(`\r${name}: ${++done} of ${length} cells `);
    }
    child.disconnect();
  };
  const workers = Array.from({ length: Math.min(jobs, missing.length) }, work);
  await Promise.all(workers);
  if (workers.length > 0) process.stderr.write("\n");
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

function fail(problem: string, help = `\n${usage}`): number {
  console.error(`experiments: ${problem}${help}`);
  return 2;
}

process.exitCode = await main();
