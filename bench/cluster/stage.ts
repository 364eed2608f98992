import { Progress } from "../../src/cli/report.js";
import { Cluster, type Seat } from "../../src/cluster.js";
import type { ScenarioOptions } from "../scenario.js";
import { requireDescriptors } from "./descriptors.js";

/** Longest wait for a cluster of so many nodes to become what it should. */
export function limitMs(nodes: number): number {
  return 120_000 + 300 * nodes;
}

/** A cluster, its progress on a terminal, and what went wrong with it. */
export class Stage {
  readonly cluster: Cluster;
  readonly problems: string[] = [];
  readonly #progress = process.stderr.isTTY ? new Progress(process.stderr) : null;

  constructor({ nodes, seed, options }: ScenarioOptions) {
    requireDescriptors(nodes);
    this.cluster = new Cluster({ seed, options });
  }

  get seedAddress(): string {
    return this.cluster.seats[0]?.node.self.address ?? "";
  }

  /** Shows a line while the work lasts; nothing when stderr is no terminal. */
  async during<T>(line: () => string, work: () => Promise<T>): Promise<T> {
    const shown = this.#progress?.every(line);
    try {
      return await work();
    } finally {
      shown?.stop();
    }
  }

  /** Joins new nodes through the first one and waits until every node knows `members`. */
  async gather(seats: readonly Seat[], members: number, parallel?: number): Promise<void> {
    const { cluster } = this;
    const line = (): string =>
      `joining: ${Math.floor(100 * cluster.shareKnown(members))} % of all pairs know each other`;
    await this.during(line, async () => {
      await cluster.join(seats, this.seedAddress, parallel);
      await cluster.until("convergence", () => cluster.isComplete(members), limitMs(members));
    });
  }

  /** Waits until no news is under way. */
  settle(): Promise<void> {
    const { cluster } = this;
    return this.during(
      () => "waiting for the last news",
      () => cluster.until("the last news", () => cluster.isQuiet(), 60_000),
    );
  }

  /** Lets real time pass. */
  pass(seconds: number, what: string): Promise<void> {
    const endMs = performance.now() + seconds * 1000;
    const left = (): number => Math.max(0, endMs - performance.now());
    const line = (): string => `${what}: ${Math.ceil(left() / 1000)} s left`;
    return this.during(line, () => new Promise((resolve) => setTimeout(resolve, left())));
  }

  /** Waits as long as it may; what is missing becomes a problem, not an end. */
  async attempt(what: string, condition: () => boolean, timeoutMs: number): Promise<void> {
    await this.cluster.until(what, condition, timeoutMs).catch((error: Error) => this.problems.push(error.message));
  }

  /** What every report ends with. */
  verdict(): { readonly falseFailures: number; readonly problems: readonly string[] } {
    const { falseFailures } = this.cluster;
    const failed = falseFailures > 0 ? [`${falseFailures} failures were reported of healthy nodes`] : [];
    return { falseFailures, problems: [...this.problems, ...failed] };
  }

  async close(): Promise<void> {
    this.#progress?.end();
    await this.cluster.close();
  }
}

/** Runs a scenario on its stage and takes it down in any case. */
export async function onStage<T>(options: ScenarioOptions, work: (stage: Stage) => Promise<T>): Promise<T> {
  const stage = new Stage(options);
  try {
    return await work(stage);
  } finally {
    await stage.close();
  }
}
