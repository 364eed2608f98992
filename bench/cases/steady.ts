import type { Crew } from "../cluster/crew.js";
import { cleanRssOfAll, Meter, megabytes } from "../cluster/meter.js";
import { onStage } from "../cluster/stage.js";
import { type Report, round, type ScenarioOptions } from "../scenario.js";

/**
 * What a converged cluster costs while nothing happens. `bytesPerEntry` is by how much the RSS of this process grew
 * from before the first join, when every node was open and alone, until the end, both times after a garbage
 * collection, divided by nodes x nodes. So the base holds what a node costs by itself (sockets, queue, streams) and
 * what Node costs. Whatever the joins leave in the allocator or touch first, such as the receive slab, counts.
 */
export function steady(options: ScenarioOptions, crew: Crew): Promise<Report> {
  const { nodes } = options;
  const seconds = options.seconds ?? 30;
  return onStage(options, crew, async (stage) => {
    await stage.open(stage.shareOf(nodes));
    const baseRss = await cleanRssOfAll(crew);
    await stage.gather(nodes, options.parallel);
    await stage.settle();
    const meter = new Meter(stage);
    await stage.pass(seconds, "measuring");
    const { elapsedMs, cpuSeconds, packets, bytes, streamBytes, drops, loopDelayMs } = await meter.stop();
    const rss = await cleanRssOfAll(crew);
    const nodeSeconds = (nodes * elapsedMs) / 1000;
    return {
      case: "steady",
      nodes,
      threads: crew.size,
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
      ...(await stage.verdict()),
    };
  });
}
