import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { outputOf } from "../apart.js";
import type { Report } from "../scenario.js";

export const peerNames = ["memberlist", "foca"] as const;
export type PeerName = (typeof peerNames)[number];

/** Another system whose clusters a program of ours runs; bench/peers/NAME. */
export interface Peer {
  readonly name: PeerName;
  /** What has to be said with its figures; "" when there is nothing. */
  readonly lacks: string;
  readonly tool: Tool;
  /** From the root of the project. */
  readonly binary: string;
}

/** What builds it. */
export interface Tool {
  readonly name: string;
  /** Tried in turn: in PATH, then where its installer puts it. */
  readonly commands: readonly string[];
  readonly buildArgs: readonly string[];
}

export const peers: Record<PeerName, Peer> = {
  memberlist: {
    name: "memberlist",
    lacks: "",
    binary: "build/peers/memberlist",
    tool: {
      name: "Go",
      commands: ["go", "/usr/local/go/bin/go"],
      buildArgs: ["build", "-o", "../../../build/peers/memberlist", "."],
    },
  },
  foca: {
    name: "foca",
    lacks: "foca has no encryption, no TCP state sync and no transport: plain datagrams, and a driver of ours",
    binary: "build/peers/foca/release/foca-swarm",
    tool: {
      name: "cargo",
      commands: ["cargo", `${process.env.HOME ?? ""}/.cargo/bin/cargo`],
      buildArgs: ["build", "--release", "--locked", "--quiet", "--target-dir", "../../../build/peers/foca"],
    },
  },
};

const buildLimitMs = 600_000;

/** Builds the peer's program unless that was done before; otherwise why there is none, in one line. */
export async function build({ name, tool }: Peer): Promise<string | null> {
  const cwd = pathOf(`bench/peers/${name}`);
  for (const command of tool.commands) {
    try {
      await promisify(execFile)(command, tool.buildArgs, { cwd, timeout: buildLimitMs });
      return null;
    } catch (error) {
      const { code, stderr, message } = error as Error & { code?: unknown; stderr?: string };
      if (code !== "ENOENT") return `${name} does not build here: ${firstLine(stderr ?? "") || firstLine(message)}`;
    }
  }
  return missingTool(name, tool);
}

export function missingTool(name: string, tool: Tool): string {
  return `there is no ${tool.name} here (tried ${tool.commands.join(" and ")}), so it goes without ${name}`;
}

/** Runs one case of the peer in a process of its own. Rejects when the program fails. */
export async function runPeer(peer: Peer, name: string, flags: readonly string[]): Promise<Report> {
  process.stderr.write(`bench: ${name} of ${peer.name} …\n`);
  const { code, output } = await outputOf(pathOf(peer.binary), ["--case", name, ...flags]);
  if (code !== 0) throw new Error(`${peer.name} ended with ${code} in ${name}`);
  return parseReport(peer.name, output);
}

/** The last line of what a peer's program prints. Errors: it is no report. */
export function parseReport(peer: string, output: string): Report {
  const line = output.trimEnd().split("\n").at(-1) ?? "";
  let found: unknown;
  try {
    found = JSON.parse(line);
  } catch {
    throw new Error(`${peer} printed no JSON but "${line.slice(0, 80)}"`);
  }
  const report = found as Partial<Report> | null;
  const isReport =
    typeof report?.case === "string" &&
    typeof report.nodes === "number" &&
    typeof report.falseFailures === "number" &&
    Array.isArray(report.problems);
  if (!isReport) throw new Error(`${peer} printed JSON that is no report: ${line.slice(0, 80)}`);
  return report as Report;
}

/** From the root of the project: this file is in bench/peers, or compiled in build/js/bench/peers. */
function pathOf(path: string): string {
  const root = import.meta.url.includes("/build/js/") ? "../../../.." : "../..";
  return fileURLToPath(new URL(`${root}/${path}`, import.meta.url));
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] ?? "";
}
