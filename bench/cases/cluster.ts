import { Meter, megabytes, rssBytes } from "../cluster/meter.js";
import { onStage } from "../cluster/stage.js";
import type { Report, ScenarioOptions } from "../scenario.js";

/**
 * All nodes join through the first; the time is from the first join until every node knows all. Then nothing must
 * happen for a while.
 */
export function cluster(options: ScenarioOptions): Promise<Report> {
  const { nodes, parallel, seconds } = options;
  const staySeconds = seconds ?? 60;
  return onStage(options, async (stage) => {
    const openedAtMs = performance.now();
    const seats = await stage.cluster.open(nodes);
    const openMs = performance.now() - openedAtMs;
    const joining = new Meter(stage.cluster);
    await stage.gather(seats.slice(1), nodes, parallel);
    const { elapsedMs, cpuSeconds, packets, bytes, streamBytes, drops, loopDelayMs } = joining.stop();
    const convergedRss = rssBytes();
    const staying = new Meter(stage.cluster);
    await stage.pass(staySeconds, "staying together");
    const { cpuSeconds: stayCpuSeconds, drops: stayDrops } = staying.stop();
    if (!stage.cluster.isComplete(nodes)) stage.problems.push(`not every node knows ${nodes} members any more`);
    return {
      case: "cluster",
      nodes,
      parallelJoins: parallel,
      openMs: Math.round(openMs),
      convergeMs: Math.round(elapsedMs),
      sizesSeen: stage.cluster.sizesSeen,
      cpuSeconds,
      rssMb: megabytes(convergedRss),
      packets,
      packetsPerNode: Math.round(packets / nodes),
      bytesPerNode: Math.round(bytes / nodes),
      streamBytesPerNode: Math.round(streamBytes / nodes),
      drops,
      loopDelayMs,
      staySeconds,
      stayCpuSeconds,
      stayDrops,
      ...stage.verdict(),
    };
  });
}
