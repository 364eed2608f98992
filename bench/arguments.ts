import { parseArgs } from "node:util";
import { type GossipOptions, parseOption } from "../src/config.js";
import type { CaseOptions } from "./comparison.js";
import { type PeerName, peerNames } from "./peers/peers.js";
import { faults, type ScenarioOptions } from "./scenario.js";

/** The command line is wrong: exit code 2. */
export class ArgumentError extends Error {}

export interface Arguments {
  readonly names: readonly string[];
  readonly json: boolean;
  /** The case to run in this very process; null in the one that the user started. */
  readonly run: string | null;
  readonly sizes: readonly number[];
  /** The systems that `peers` is to measure; null: all. */
  readonly against: readonly PeerName[] | null;
  readonly comparison: CaseOptions;
  readonly scenario: ScenarioOptions;
}

const mostNodes = 8000;
const fewestNodesOfThread = 3;

const flags = {
  json: { type: "boolean", default: false },
  run: { type: "string" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  nodes: { type: "string" },
  seed: { type: "string", default: "1" },
  parallel: { type: "string", default: "64" },
  threads: { type: "string", default: "1" },
  stay: { type: "string" },
  fault: { type: "string", default: "crash" },
  kill: { type: "string", default: "1" },
  repeats: { type: "string" },
  against: { type: "string" },
  sizes: { type: "string", default: "100,200,300,500,1000,2000" },
  set: { type: "string", multiple: true, default: [] as string[] },
} as const;

/** Whole clusters several times over: `peers` takes its time with less. */
const peersDefaults = { rounds: "2", nodes: "100", repeats: "3" };
const otherDefaults = { rounds: "5", nodes: "200", repeats: "5" };

/** Errors: ArgumentError, which names the remedy; TATTLER_OPTION_* for --set. */
export function parseArguments(args: string[]): Arguments {
  const { values: raw, positionals } = parse(args);
  const values = { ...(positionals[0] === "peers" ? peersDefaults : otherDefaults), ...raw };
  const seconds = values.stay ?? values.seconds;
  const measured = seconds === undefined ? null : number("seconds", seconds, 0.1, 86_400);
  const fault = faults.find((name) => name === values.fault);
  if (fault === undefined) throw new ArgumentError(`there is no fault ${values.fault}; give ${faults.join(", ")}`);
  const nodes = count("nodes", values.nodes, 3, mostNodes);
  const threads = count("threads", values.threads, 1, Math.floor(nodes / fewestNodesOfThread));
  return {
    names: positionals,
    json: values.json,
    run: values.run ?? null,
    sizes: values.sizes.split(",").map((text) => count("sizes", text, 3, mostNodes)),
    against: values.against === undefined ? null : values.against.split(",").map(peerFrom),
    comparison: { seconds: measured ?? 1, rounds: count("rounds", values.rounds, 1, 1000) },
    scenario: {
      nodes,
      seed: count("seed", values.seed, 0, 2 ** 31),
      threads,
      seconds: measured,
      parallel: count("parallel", values.parallel, threads, mostNodes),
      fault,
      kill: count("kill", values.kill, 1, mostNodes),
      repeats: count("repeats", values.repeats, 1, 1000),
      options: optionsFrom(values.set),
    },
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: flags });
  } catch (error) {
    throw new ArgumentError((error as Error).message);
  }
}

function peerFrom(text: string): PeerName {
  const name = peerNames.find((known) => known === text);
  if (name === undefined) throw new ArgumentError(`there is no peer ${text}; give ${peerNames.join(", ")}`);
  return name;
}

function optionsFrom(settings: readonly string[]): Partial<GossipOptions> {
  const options = {};
  for (const setting of settings) {
    const [name = "", ...value] = setting.split("=");
    if (value.length === 0) throw new ArgumentError(`--set ${setting} has no value; give --set option=value`);
    Object.assign(options, parseOption(name, value.join("=")));
  }
  return options;
}

function count(flag: string, text: string, min: number, max: number): number {
  if (Number.isInteger(number(flag, text, min, max))) return Number(text);
  throw new ArgumentError(`--${flag} ${text} is not a whole number; give one from ${min} to ${max}`);
}

function number(flag: string, text: string, min: number, max: number): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= min && value <= max) return value;
  throw new ArgumentError(`--${flag} ${text} is not a number in its range; give one from ${min} to ${max}`);
}
