#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { TattlerError } from "../errors.js";
import { runAgent } from "./agent.js";
import { runKeygen } from "./keygen.js";
import { runSim } from "./sim.js";
import { runStart } from "./start.js";
import { UsageError } from "./usage.js";

const usage = `tattler: encrypted gossip membership

  tattler start [--nodes 200] [--seed 1] [--json]
      form a cluster in this process, crash a node, let one leave, and report
  tattler agent --name NAME [--bind 127.0.0.1:7946] [--join host:port]...
      [--key-file FILE | --key BASE64] [--keyring FILE [--passphrase-file FILE]]
      [--cluster NAME] [--profile lan|wan|local] [--meta TEXT] [--log json|pretty]
      [--set option=value]... [--commands]
      one node in this process, until SIGINT or SIGTERM; SIGHUP reads --key-file again
  tattler sim [--scenario swarm|steady|crash|silent|leave|storm|join] [--nodes 50] [--seed 1]
      [--runs 1] [--jobs 1] [--loss PERCENT] [--seconds 60] [--repeats 5] [--json] [--html FILE]
      a cluster in virtual time, from a seed; exits with 1 when it finds a violation; --jobs threads share
      the runs of swarm; --seconds is how long steady lasts, --repeats how often crash, silent and leave
      happen; --html draws the first run; the scenarios
      swim|lifeguard|rapid|partitions|detection|spread|repair print the tables of bench/RESULTS.md in small
  tattler keygen [--bits 128|192|256]
      a new key, as base64
  tattler --version | --help`;

const commands: Record<string, (args: string[]) => Promise<number>> = {
  start: runStart,
  agent: runAgent,
  keygen: runKeygen,
  sim: runSim,
};

async function main(args: string[]): Promise<number> {
  const [name = "--help", ...rest] = args;
  if (name === "--help" || name === "-h" || name === "help") {
    console.log(usage);
    return 0;
  }
  if (name === "--version") {
    console.log(version());
    return 0;
  }
  const command = commands[name];
  if (command === undefined) throw new UsageError(`there is no command ${name}`, "see tattler --help");
  return command(rest);
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function fail(error: unknown): number {
  const isOption = error instanceof TattlerError && /OPTION|ADDRESS_INVALID/.test(error.code);
  const text = error instanceof Error ? error.message : String(error);
  console.error(`tattler: ${text}`);
  return error instanceof UsageError || isOption ? 2 : 1;
}

process.stdout.on("error", () => process.exit(1)); // the reader is gone
main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    process.exitCode = fail(error);
  },
);
