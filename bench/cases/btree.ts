import { type CaseOptions, type Comparison, compare } from "../comparison.js";
import { peers, runPeer } from "../peers/peers.js";
import { inRounds } from "../rounds.js";
import { batch, native, type QueueLoad } from "./queue.js";

/** Without and with what ours does beyond queueing: encoding each message and packing each datagram. */
const depths = [
  { peer: "memberlist's B-tree, queueing alone", flags: ["--packed=false"] },
  { peer: "memberlist's B-tree, encoded and packed", flags: ["--packed=true"] },
];

/** The native broadcast queue and memberlist's TransmitLimitedQueue, round by round in turn. */
export async function btree(options: CaseOptions): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const load of ["suspects", "alives"] as const) {
    for (const pushes of [3, 30]) comparisons.push(...(await compareLoad(load, pushes, options)));
  }
  return comparisons;
}

async function compareLoad(load: QueueLoad, pushes: number, options: CaseOptions): Promise<Comparison[]> {
  const ours: number[] = [];
  const theirs: number[][] = depths.map(() => []);
  const sides = { ours: native(pushes, load) };
  for (let round = 0; round < options.rounds; round++) {
    ours.push(...(await inRounds({ ...options, rounds: 1 }, batch, sides)).ours);
    for (const [i, { flags }] of depths.entries()) {
      const given = ["--load", load, "--pushes", String(pushes), "--seconds", String(options.seconds), ...flags];
      theirs[i]?.push((await runPeer(peers.memberlist, "queue", given)).nsPerFill as number);
    }
  }
  const metric = { case: "queue", metric: `${pushes} ${load} + 1 fill`, unit: "ns", better: "lower" } as const;
  return depths.map(({ peer }, i) => compare(metric, ours, peer, theirs[i] ?? []));
}
