import { cleanRssBytes, Meter, megabytes } from "../cluster/meter.js";
import { onStage } from "../cluster/stage.js";
import { type Report, round, type ScenarioOptions } from "../scenario.js";

/**
 * What a converged cluster costs while nothing happens. `bytesPerEntry` is by how much the RSS of this process grew
 * from before the first join, when every node was open and alone, until the end, both times after a garbage
 * collection, divided by nodes x nodes. So the base holds what a node costs by itself (sockets, queue, streams) and
 * what Node costs. Whatever the joins leave in the allocator or touch first, such as the receive slab, counts.
 */
export function steady(options: ScenarioOptions): Promise<Report> {
  const { nodes } = options;
  const seconds = options.seconds ?? 30;
  return onStage(options, async (stage) => {
    const seats = await stage.cluster.open(nodes);
    const baseRss = cleanRssBytes();
    await stage.gather(seats.slice(1), nodes, options.parallel);
    await stage.settle();
    const meter = new Meter(stage.cluster);
    await stage.pass(seconds, "measuring");
    const { elapsedMs, cpuSeconds, packets, bytes, streamBytes, drops, loopDelayMs } = meter.stop();
    const rss = cleanRssBytes();
    const nodeSeconds = (nodes * elapsedMs) / 1000;
    return {
      case: "steady",
      nodes,
      seconds: round(elapsedMs / 1000),
      cpuSeconds,
      cpuMsPerNodeSecond: round((1000 * cpuSeconds) / nodeSeconds),
      packetsPerNodeSecond: round(packets / nodeSeconds),
      bytesPerNodeSecond: round(bytes / nodeSeconds),
      streamBytesPerNodeSecond: round(streamBytes / nodeSeconds),
      rssMb: megabytes(rss),
      baseRssMb: megabytes(baseRss),
      bytesPerEntry: Math.round((rss - baseRss) / (nodes * nodes)),
      drops,
      loopDelayMs,
      ...stage.verdict(),
    };
  });
}
