import { type CaseOptions, type Comparison, compare } from "../comparison.js";
import { loopback, openBenchHub, openEndpoint } from "../hub.js";
import { TypeScriptQueue } from "../peers/typescript_queue.js";
import { inRounds } from "../rounds.js";

/** A cluster of 2,000: the transmit limit is 16. */
const members = 2000;
const limit = 16;
const bodyBytes = 1360;
export type QueueLoad = "suspects" | "alives";
/** Datagrams filled by one call. */
export const batch = 50;

/** Pushing suspicions and filling datagrams from the queue, with so many pushes before each fill. */
export async function queue(options: CaseOptions): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const pushes of [3, 30]) {
    const rounds = await inRounds(options, batch, { ours: native(pushes), theirs: plain(pushes) });
    const metric = { case: "queue", metric: `${pushes} pushes + 1 fill`, unit: "ns", better: "lower" } as const;
    comparisons.push(compare(metric, rounds.ours, "the same in TypeScript", rounds.theirs));
  }
  return comparisons;
}

/** Ours does more: it composes a FlatBuffer, adds header and checksum and copies the datagram out. */
export function native(pushes: number, load: QueueLoad = "suspects"): () => void {
  const memory = openBenchHub("manual");
  const { hub } = memory;
  const endpoint = openEndpoint(memory, "a", null);
  endpoint.setClusterSize(members);
  const to = hub.internAddress(loopback, 1);
  const self = hub.find("a");
  const subjects = Array.from({ length: members }, (_, i) => hub.intern(`member-${i}`));
  const into = new Uint8Array(2048);
  const info = new Uint32Array(3);
  const push = {
    suspects: (subject: number) => endpoint.queueSuspect(subject, self, 1, 0),
    alives: (subject: number) => endpoint.queueAlive(subject, to, 1, null),
  }[load];
  let next = 0;
  return () => {
    for (let i = 0; i < batch; i++) {
      for (let count = 0; count < pushes; count++) push(subjects[next++ % members] as number);
      endpoint.gossip(to);
      hub.takeOutgoing(into, info);
    }
  };
}

function plain(pushes: number): () => void {
  const queue = new TypeScriptQueue(limit);
  let next = 0;
  return () => {
    for (let i = 0; i < batch; i++) {
      for (let push = 0; push < pushes; push++) queue.push(next++ % members, 1, 1);
      queue.fill(bodyBytes);
    }
  };
}
