import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { crypto } from "./cases/crypto.js";
import { decode } from "./cases/decode.js";
import { queue } from "./cases/queue.js";
import { udp } from "./cases/udp.js";
import type { BenchCase, Comparison } from "./comparison.js";

/** Every case by name. Each runs in a process of its own, so that none warms up or litters another. */
const cases: Record<string, BenchCase> = { udp, crypto, queue, decode };

const usage = `npm run bench -- [${Object.keys(cases).join("|")}]... [--json] [--seconds 1] [--rounds 5]`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      seconds: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
      run: { type: "string" },
    },
  });
  const options = { seconds: Number(values.seconds), rounds: Number(values.rounds) };
  if (!(options.seconds > 0) || !(options.rounds >= 1)) return fail(`--seconds and --rounds are numbers above 0`);
  if (values.run !== undefined) return runHere(values.run, options);
  const unknown = positionals.find((name) => cases[name] === undefined);
  if (unknown !== undefined) return fail(`there is no case ${unknown}`);
  const names = positionals.length > 0 ? positionals : Object.keys(cases);
  let code = 0;
  for (const name of names) {
    const comparisons = await runApart(name, process.argv.slice(2));
    if (comparisons === null) code = 1;
    else if (values.json) for (const { spread, ...line } of comparisons) console.log(JSON.stringify(line));
    else writeTable(comparisons);
  }
  return code;
}

async function runHere(name: string, options: { seconds: number; rounds: number }): Promise<number> {
  const run = cases[name];
  if (run === undefined) return fail(`there is no case ${name}`);
  console.log(JSON.stringify(await run(options)));
  return 0;
}

/** Null when the case failed. */
function runApart(name: string, args: readonly string[]): Promise<Comparison[] | null> {
  const flags = args.filter(
    (arg, i) => /^--(seconds|rounds)/.test(arg) || /^--(seconds|rounds)$/.test(args[i - 1] ?? ""),
  );
  const self = fileURLToPath(import.meta.url);
  process.stderr.write(`bench: ${name} …\n`);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--expose-gc", self, "--run", name, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.on("close", (code) => resolve(code === 0 ? JSON.parse(output) : null));
  });
}

function writeTable(comparisons: readonly Comparison[]): void {
  const number = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 6 });
  const rows = comparisons.map((c) => [
    c.case,
    `${c.metric} (${c.unit})`,
    number(c.ours),
    c.peer,
    number(c.theirs),
    `${number(c.ratio)} (${c.spread.map(number).join(" to ")})`,
  ]);
  const table = [["case", "metric", "ours", "peer", "theirs", "ratio (spread)"], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  console.log("");
}

function fail(problem: string): number {
  console.error(`bench: ${problem}\n${usage}`);
  return 2;
}

process.exitCode = await main();
