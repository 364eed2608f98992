import { Cluster, type Seat, WaitFailed } from "../cluster.js";
import { Progress, type StartResult, writeSummary } from "./report.js";
import { parseCount, parseFlags } from "./usage.js";

const payload = new TextEncoder().encode("the one broadcast of this run");

/** `tattler start`: a whole cluster in this process, shown at work. Exit code 1 if any part fails. */
export async function runStart(args: string[]): Promise<number> {
  const flags = parseFlags(args, {
    nodes: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  });
  const count = parseCount("nodes", flags.nodes ?? "200", 3, 5000);
  const seed = parseCount("seed", flags.seed ?? "1", 0, Number.MAX_SAFE_INTEGER);
  const isJson = flags.json ?? false;
  const run = new Run(count, seed, new Progress(isJson ? process.stderr : process.stdout));
  try {
    const result = await run.all();
    if (isJson) process.stdout.write(`${JSON.stringify(result)}\n`);
    else writeSummary(result);
    return run.verdict(result);
  } catch (error) {
    console.error(`tattler: ${explain(error)}`);
    return 1;
  } finally {
    await run.close();
  }
}

/** Who has seen what happened to one node. */
interface Sightings {
  firstMs: number;
  allMs: number;
  readonly by: Set<string>;
  readonly failedBy: Set<string>;
}

/** One run, part after part. */
class Run {
  readonly #count: number;
  readonly #progress: Progress;
  readonly #cluster: Cluster;

  constructor(count: number, seed: number, progress: Progress) {
    this.#count = count;
    this.#progress = progress;
    this.#cluster = new Cluster({ seed });
  }

  async all(): Promise<StartResult> {
    const cpu = process.cpuUsage();
    const convergeMs = await this.#converge();
    const broadcast = await this.#broadcast();
    const crash = await this.#crash();
    const leave = await this.#leave();
    this.#progress.end();
    const { user, system } = process.cpuUsage(cpu);
    const { sent, received, dropped } = this.#cluster.traffic();
    return {
      nodes: this.#count,
      encrypted: true,
      convergeMs,
      crash,
      leave,
      broadcast,
      packets: { sent, received, dropped },
      cpuSeconds: round((user + system) / 1e6, 3),
      rssMb: round(process.memoryUsage().rss / 2 ** 20, 1),
      falseFailures: this.#cluster.falseFailures,
    };
  }

  verdict(result: StartResult): number {
    const problems: string[] = [];
    const { broadcast, crash, leave, nodes } = result;
    if (result.falseFailures > 0) problems.push(`${result.falseFailures} failures were reported of healthy nodes`);
    if (broadcast.delivered !== nodes - 1)
      problems.push(`the broadcast reached ${broadcast.delivered} of ${nodes - 1}`);
    if (broadcast.duplicates > 0) problems.push(`the broadcast was delivered again ${broadcast.duplicates} times`);
    if (crash.seen !== nodes - 1) problems.push(`the crash was seen by ${crash.seen} of ${nodes - 1}`);
    if (leave.seen !== nodes - 2) problems.push(`the leave was seen by ${leave.seen} of ${nodes - 2}`);
    if (leave.reportedAsFail > 0) problems.push(`${leave.reportedAsFail} nodes took the leave for a failure`);
    for (const problem of problems) console.error(`tattler: ${problem}`);
    return problems.length === 0 ? 0 : 1;
  }

  async close(): Promise<void> {
    this.#progress.end();
    await this.#cluster.close();
  }

  // --- the parts

  async #converge(): Promise<number> {
    const began = performance.now();
    const [seed, ...others] = await this.#cluster.open(this.#count);
    const show = this.#progress.every(() => {
      const share = Math.floor(100 * this.#cluster.shareKnown(this.#count));
      return `pairs ${share} % · packets ${this.#cluster.traffic().sent.toLocaleString("en")}`;
    });
    await this.#cluster.join(others, seed?.node.self.address ?? "");
    const limitMs = 60_000 + 300 * this.#count;
    await this.#cluster.until("convergence", () => this.#cluster.isComplete(this.#count), limitMs);
    show.stop();
    return round(performance.now() - began, 0);
  }

  async #broadcast(): Promise<StartResult["broadcast"]> {
    const sender = this.#cluster.pick();
    const latencies: number[] = [];
    let duplicates = 0;
    const heard = new Set<string>();
    const began = performance.now();
    const listeners = this.#cluster.seats.map((seat) => {
      const listener = (): void => {
        if (heard.has(seat.name)) duplicates++;
        else latencies.push(performance.now() - began);
        heard.add(seat.name);
        this.#cluster.wake();
      };
      seat.node.on("message", listener);
      return () => seat.node.off("message", listener);
    });
    const show = this.#progress.every(() => `broadcast: ${heard.size}/${this.#count - 1} nodes have it`);
    sender.node.broadcast(payload);
    await this.#cluster.until("the broadcast", () => heard.size >= this.#count - 1, 30_000).catch(forgivePart);
    // Every copy still under way must get the chance to be delivered again.
    const isQuiet = (): boolean => this.#cluster.seats.every(({ node }) => node.stats.messageDepth === 0);
    await this.#cluster.until("the last copies", isQuiet, 30_000).catch(forgivePart);
    show.stop();
    for (const remove of listeners) remove();
    latencies.sort((a, b) => a - b);
    const at = (share: number): number => round(latencies[Math.ceil(latencies.length * share) - 1] ?? 0, 1);
    return { delivered: latencies.length, duplicates, p50Ms: at(0.5), p99Ms: at(0.99) };
  }

  async #crash(): Promise<StartResult["crash"]> {
    const victim = this.#cluster.remove(this.#cluster.pick());
    this.#cluster.expect(victim.name);
    const seen = await this.#watch("crash", victim, "fail", () => victim.node.close(), 120_000);
    return { firstMs: seen.firstMs, allMs: seen.allMs, seen: seen.by.size };
  }

  async #leave(): Promise<StartResult["leave"]> {
    const leaver = this.#cluster.remove(this.#cluster.pick());
    const leave = (): Promise<unknown> => leaver.node.leave();
    const seen = await this.#watch("leave", leaver, "leave", leave, 60_000);
    await leaver.node.close();
    // Whoever takes it for a failure after all must get the chance to say so.
    const isQuiet = (): boolean => this.#cluster.isQuiet();
    await this.#cluster.until("the gossip about the leave", isQuiet, 30_000).catch(forgivePart);
    return { allMs: seen.allMs, seen: seen.by.size, reportedAsFail: seen.failedBy.size };
  }

  /** Does something to a node and waits until all the others have seen it. The sets go on filling afterwards. */
  async #watch(
    part: string,
    about: Seat,
    kind: string,
    act: () => Promise<unknown>,
    limitMs: number,
  ): Promise<Sightings> {
    const seen: Sightings = { firstMs: 0, allMs: 0, by: new Set(), failedBy: new Set() };
    const began = performance.now();
    this.#cluster.onEvent = (event, name, observer) => {
      if (name !== about.name || observer === name) return;
      if (event === "fail") seen.failedBy.add(observer);
      if (event !== kind || seen.by.has(observer)) return;
      seen.allMs = round(performance.now() - began, 1);
      if (seen.by.size === 0) seen.firstMs = seen.allMs;
      seen.by.add(observer);
    };
    const others = this.#cluster.seats.length;
    const show = this.#progress.every(() => `${part} of ${about.name}: ${seen.by.size}/${others} nodes know`);
    await act();
    await this.#cluster.until(`the ${part}`, () => seen.by.size >= others, limitMs).catch(forgivePart);
    show.stop();
    return seen;
  }
}

/** Lets the run go on: what is missing shows in the counts, and in the exit code. */
function forgivePart(error: unknown): void {
  if (!(error instanceof WaitFailed)) throw error;
  console.error(`tattler: ${error.message}`);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function explain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!/EMFILE|too many open files/i.test(text)) return text;
  return `${text}; a node takes two file descriptors and one for each exchange: raise the limit, ulimit -n 65536`;
}
