import { readdirSync } from "node:fs";
import { cleanRssBytes } from "../cluster/meter.js";
import { afterWarmUp, isFlat, type Point, slopeOf } from "./slope.js";

/** What a process must not have more and more of. */
interface Gauge {
  readonly name: string;
  /** Growth a minute that is let pass even when it is no noise: less than a MiB, or one descriptor, in ten minutes. */
  readonly boundPerMinute: number;
  readonly read: () => number;
}

const kib = 1024;
const warmUpShare = 0.5;

const processGauges: readonly Gauge[] = [
  { name: "rssKib", boundPerMinute: 100, read: () => cleanRssBytes() / kib },
  { name: "heapKib", boundPerMinute: 50, read: () => process.memoryUsage().heapUsed / kib },
  { name: "externalKib", boundPerMinute: 50, read: () => process.memoryUsage().external / kib },
  { name: "handles", boundPerMinute: 0.1, read: () => process.getActiveResourcesInfo().length },
  { name: "descriptors", boundPerMinute: 0.1, read: () => readdirSync("/proc/self/fd").length },
  { name: "threads", boundPerMinute: 0.1, read: () => readdirSync("/proc/self/task").length },
];

export interface Trend {
  readonly gauge: string;
  readonly first: number;
  readonly last: number;
  readonly perMinute: number;
  readonly error: number;
  readonly boundPerMinute: number;
  readonly isFlat: boolean;
}

/** Reads every gauge now and then; RSS first, as that collects the garbage. */
export class Gauges {
  readonly #beganMs = performance.now();
  readonly #gauges: readonly Gauge[];
  readonly #points: Map<string, Point[]>;

  /** @param waiting broadcasts that wait to be sent, of all nodes. */
  constructor(waiting: () => number) {
    this.#gauges = [...processGauges, { name: "waitingMessages", boundPerMinute: 10, read: waiting }];
    this.#points = new Map(this.#gauges.map(({ name }) => [name, []]));
  }

  get samples(): number {
    return this.#points.get("rssKib")?.length ?? 0;
  }

  sample(): void {
    const minute = (performance.now() - this.#beganMs) / 60_000;
    for (const { name, read } of this.#gauges) this.#points.get(name)?.push({ minute, value: read() });
  }

  /** After a warm-up of half of the time: until most members have restarted and queues have had their largest size. */
  trends(): Trend[] {
    return this.#gauges.map(({ name, boundPerMinute }) => {
      const points = afterWarmUp(this.#points.get(name) ?? [], warmUpShare);
      const slope = slopeOf(points);
      const [first, last] = [points[0]?.value ?? 0, points.at(-1)?.value ?? 0].map(Math.round) as [number, number];
      const [perMinute, error] = [slope.perMinute, slope.error].map((value) => Number(value.toPrecision(3)));
      const figures = { first, last, perMinute: perMinute ?? 0, error: error ?? 0 };
      return { gauge: name, ...figures, boundPerMinute, isFlat: isFlat(slope, boundPerMinute) };
    });
  }
}
