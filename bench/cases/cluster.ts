import type { Crew } from "../cluster/crew.js";
import { Meter, megabytes, rssBytes } from "../cluster/meter.js";
import { onStage } from "../cluster/stage.js";
import type { Report, ScenarioOptions } from "../scenario.js";

/**
 * All nodes join through the first; the time is from the first join until every node knows all. Then nothing must
 * happen for a while.
 */
export function cluster(options: ScenarioOptions, crew: Crew): Promise<Report> {
  const { nodes, parallel, seconds } = options;
  const staySeconds = seconds ?? 60;
  return onStage(options, crew, async (stage) => {
    const openedAtMs = performance.now();
    await stage.open(stage.shareOf(nodes));
    await stage.step();
    const openMs = performance.now() - openedAtMs;
    const joining = new Meter(stage);
    await stage.gather(nodes, parallel);
    const { elapsedMs, cpuSeconds, packets, bytes, streamBytes, drops, loopDelayMs } = await joining.stop();
    const convergedRss = rssBytes();
    const staying = new Meter(stage);
    await stage.pass(staySeconds, "staying together");
    const { cpuSeconds: stayCpuSeconds, drops: stayDrops } = await staying.stop();
    const sizes = await crew.share(stage.cluster.sizesSeen);
    if (!stage.cluster.isComplete(nodes)) stage.problems.push(`not every node knows ${nodes} members any more`);
    return {
      case: "cluster",
      nodes,
      threads: crew.size,
      parallelJoins: parallel,
      openMs: Math.round(openMs),
      convergeMs: Math.round(elapsedMs),
      sizesSeen: new Set(sizes.flat()).size,
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
      ...(await stage.verdict()),
    };
  });
}
