import { runApart } from "../apart.js";
import { ArgumentError, type Arguments } from "../arguments.js";
import type { Comparison } from "../comparison.js";
import type { Report } from "../scenario.js";
import { writeComparisons, writeRows } from "../tables.js";
import { build, type Peer, peerNames, peers, runPeer } from "./peers.js";
import {
  type ContestCase,
  contestCases,
  type Round,
  remarksOf,
  type Standing,
  standingRows,
  standingsOf,
} from "./standings.js";

const queueCase = "btree";
/** Longest wait of a peer for its cluster to converge. */
const convergeLimitSeconds = 120;
/** Of staying, measuring or sending, where the user gives none. */
const secondsOf: Record<ContestCase, number> = { cluster: 1, steady: 10, detect: 1, storm: 5 };

/** Our scenarios and those of other systems in turn, A B A B. The exit code is 1 when one of ours failed. */
export async function runContest(given: Arguments, args: readonly string[]): Promise<number> {
  const cases = casesOf(given.names.slice(1));
  const names = given.against ?? peerNames;
  const standings: Standing[] = [];
  const queues: Comparison[] = [];
  let code = 0;
  for (const peer of names.map((name) => peers[name])) {
    const obstacle = await build(peer);
    if (obstacle !== null) {
      console.log(`bench: ${obstacle}`);
      continue;
    }
    const found = await contestWith(peer, cases, given, args);
    standings.push(...found.standings);
    if (found.hasFailed) code = 1;
    if (peer.name !== "memberlist" || !cases.includes("queue")) continue;
    const compared = (await runApart(queueCase, args, ["--seconds", "0.5"])) as Comparison[] | null;
    if (compared === null) code = 1;
    else writeComparisons(compared);
    queues.push(...(compared ?? []));
  }
  if (given.json) console.log(JSON.stringify({ case: "peers", nodes: given.scenario.nodes, standings, queues }));
  return code;
}

function casesOf(names: readonly string[]): readonly (ContestCase | "queue")[] {
  const known = [...contestCases, "queue"] as const;
  const unknown = names.find((name) => !known.some((other) => other === name));
  if (unknown !== undefined) throw new ArgumentError(`peers have no case ${unknown}; give ${known.join(", ")}`);
  return names.length === 0 ? ["cluster", "steady", "detect", "queue"] : known.filter((name) => names.includes(name));
}

async function contestWith(
  peer: Peer,
  cases: readonly (ContestCase | "queue")[],
  given: Arguments,
  args: readonly string[],
): Promise<{ readonly standings: readonly Standing[]; readonly hasFailed: boolean }> {
  const standings: Standing[] = [];
  const remarks: string[] = peer.lacks === "" ? [] : [peer.lacks];
  let hasFailed = false;
  let version = "";
  for (const name of contestCases.filter((one) => cases.includes(one))) {
    const rounds: Round[] = [];
    for (let round = 0; round < given.comparison.rounds; round++) {
      const flags = flagsOf(name, given, round);
      const ours = (await runApart(name, args, flags)) as Report | null;
      const theirs = await theirsOf(peer, name, [...flags, "--limit", String(convergeLimitSeconds)]);
      rounds.push({ ours, theirs });
      if (ours === null || ours.problems.length > 0) hasFailed = true;
      version = String(theirs?.version ?? version);
    }
    standings.push(...standingsOf(name, peer.name, rounds));
    remarks.push(...remarksOf(name, peer.name, rounds));
  }
  if (standings.length > 0) {
    console.log(`${given.scenario.nodes} nodes, tattler and ${peer.name} ${version}`.trim());
    writeRows(standingRows(standings));
  }
  for (const remark of remarks) console.log(remark);
  if (remarks.length > 0) console.log("");
  return { standings, hasFailed };
}

/** A peer's program that fails is a round without it. */
async function theirsOf(peer: Peer, name: string, flags: readonly string[]): Promise<Report | null> {
  try {
    return await runPeer(peer, name, flags);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    return null;
  }
}

/** What both sides are told. */
function flagsOf(name: ContestCase, { scenario }: Arguments, round: number): string[] {
  const { nodes, seed, seconds, parallel, fault, kill, repeats } = scenario;
  const flags = { nodes, seed: seed + round, seconds: seconds ?? secondsOf[name], parallel, fault, kill, repeats };
  return Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
}
