import { randomBytes } from "node:crypto";
import { Progress } from "../../src/cli/report.js";
import { Cluster, parallelJoins, type Seat } from "../../src/cluster.js";
import type { ScenarioOptions } from "../scenario.js";
import type { Crew } from "./crew.js";
import { requireDescriptors } from "./descriptors.js";

const keyBytes = 32;

/** Longest wait for a cluster of so many nodes to become what it should. */
export function limitMs(nodes: number): number {
  return 120_000 + 300 * nodes;
}

/**
 * A thread's part of a cluster, its progress on a terminal, and what went wrong with it. What is marked "together" is
 * a step that all threads of the crew take, and ends when it is true of the whole cluster.
 */
export class Stage {
  readonly crew: Crew;
  readonly cluster: Cluster;
  readonly problems: string[] = [];
  /** Of the seed, since the last gathering. */
  seedAddress = "";
  readonly #progress: Progress | null;
  #newcomers: Seat[] = [];

  constructor({ nodes, seed, options }: ScenarioOptions, crew: Crew, key: Uint8Array) {
    requireDescriptors(nodes);
    this.crew = crew;
    this.cluster = new Cluster({ seed, options, key, part: { index: crew.rank, of: crew.size } });
    this.#progress = crew.rank === 0 && process.stderr.isTTY ? new Progress(process.stderr) : null;
  }

  /** How many of so many nodes are this thread's. */
  shareOf(nodes: number): number {
    const { rank, size } = this.crew;
    return Math.floor(nodes / size) + (rank < nodes % size ? 1 : 0);
  }

  /** Opens nodes of this thread, each alone until all gather. */
  async open(count: number): Promise<void> {
    this.#newcomers.push(...(await this.cluster.open(count)));
  }

  /** Together: nothing but waiting for all. */
  async step(): Promise<void> {
    await this.crew.share(null);
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

  /** Together: joins what was opened through the first node of all and waits until every node knows `members`. */
  async gather(members: number, parallel = parallelJoins): Promise<void> {
    const { cluster, crew } = this;
    const [seat] = cluster.seats;
    this.seedAddress = (await crew.share(seat?.node.self.address ?? ""))[0] ?? "";
    const joining = this.#newcomers.filter(({ node }) => node.self.address !== this.seedAddress);
    this.#newcomers = [];
    const line = (): string =>
      `joining: ${Math.floor(100 * cluster.shareKnown(members))} % of all pairs know each other`;
    await this.during(line, async () => {
      await cluster.join(joining, this.seedAddress, this.shareOf(parallel));
      await this.complete(members, limitMs(members));
    });
  }

  /** Together: waits until every node knows so many. */
  async complete(members: number, withinMs: number): Promise<void> {
    await this.cluster.until(`a view of all ${members}`, () => this.cluster.isComplete(members), withinMs);
    await this.step();
  }

  /** Together: waits until no news is under way. */
  settle(): Promise<void> {
    const { cluster, crew } = this;
    return this.during(
      () => "waiting for the last news",
      async () => {
        do await cluster.until("the last news", () => cluster.isQuiet(), 60_000);
        while ((await crew.share(cluster.isQuiet())).includes(false));
      },
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

  /** Together: what every report ends with. */
  async verdict(): Promise<{ readonly falseFailures: number; readonly problems: readonly string[] }> {
    const { problems, cluster } = this;
    const parts = await this.crew.share({ problems, falseFailures: cluster.falseFailures });
    const falseFailures = parts.reduce((sum, part) => sum + part.falseFailures, 0);
    const failed = falseFailures > 0 ? [`${falseFailures} failures were reported of healthy nodes`] : [];
    return { falseFailures, problems: [...parts.flatMap((part) => part.problems), ...failed] };
  }

  async close(): Promise<void> {
    this.#progress?.end();
    await this.cluster.close();
  }
}

/** Runs a scenario on its stage and takes it down in any case. */
export async function onStage<T>(options: ScenarioOptions, crew: Crew, work: (stage: Stage) => Promise<T>): Promise<T> {
  const [key] = await crew.share(new Uint8Array(randomBytes(keyBytes)));
  const stage = new Stage(options, crew, key as Uint8Array);
  try {
    return await work(stage);
  } finally {
    await stage.close();
  }
}
