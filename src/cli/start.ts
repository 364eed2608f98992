import { randomBytes } from "node:crypto";
import { GossipNode } from "../node.js";
import { Random } from "../random.js";
import { Progress, type StartResult, writeSummary } from "./report.js";
import { parseCount, parseFlags } from "./usage.js";

const host = "127.0.0.1";
const payload = new TextEncoder().encode("the one broadcast of this run");
/** Joins under way at once: the seed answers each with its whole state. */
const parallelJoins = 16;

/** A part of the run did not come to its end in time. */
class PartFailed extends Error {}

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

interface Seat {
  readonly index: number;
  readonly name: string;
  readonly node: GossipNode;
}

/** Who has seen what happened to one node. */
interface Sightings {
  firstMs: number;
  allMs: number;
  readonly by: Set<string>;
  readonly failedBy: Set<string>;
}

/** One run: counts events instead of asking every node again and again. */
class Run {
  readonly #count: number;
  readonly #random: Random;
  readonly #progress: Progress;
  readonly #key = new Uint8Array(randomBytes(32));
  readonly #seats: Seat[] = [];
  readonly #seed: number;
  #pairs = 0;
  #falseFailures = 0;
  #crashed: string | null = null;
  #onEvent: ((kind: string, about: string, observer: string) => void) | null = null;
  #wake: (() => void) | null = null;
  readonly #closedCounters = { sent: 0, received: 0, dropped: 0 };

  constructor(count: number, seed: number, progress: Progress) {
    this.#count = count;
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#progress = progress;
  }

  async all(): Promise<StartResult> {
    const cpu = process.cpuUsage();
    const convergeMs = await this.#converge();
    const broadcast = await this.#broadcast();
    const crash = await this.#crash();
    const leave = await this.#leave();
    this.#progress.end();
    const { user, system } = process.cpuUsage(cpu);
    return {
      nodes: this.#count,
      encrypted: true,
      convergeMs,
      crash,
      leave,
      broadcast,
      packets: this.#packets(),
      cpuSeconds: round((user + system) / 1e6, 3),
      rssMb: round(process.memoryUsage().rss / 2 ** 20, 1),
      falseFailures: this.#falseFailures,
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
    this.#onEvent = null;
    await Promise.all(this.#seats.map(({ node }) => node.close()));
  }

  // --- the parts

  async #converge(): Promise<number> {
    const wanted = this.#count * (this.#count - 1);
    const began = performance.now();
    for (let index = 0; index < this.#count; index++) await this.#openSeat(index);
    const seedAddress = this.#seats[0]?.node.self.address ?? "";
    let next = 1;
    let joined = 1;
    const show = this.#progress.every(() => {
      const share = Math.floor((100 * this.#pairs) / wanted);
      const packets = this.#packets().sent.toLocaleString("en");
      return `joined ${joined}/${this.#count} · pairs ${share} % · packets ${packets}`;
    });
    const joinNext = async (): Promise<void> => {
      for (let seat = this.#seats[next++]; seat !== undefined; seat = this.#seats[next++]) {
        await seat.node.join([seedAddress], { timeoutMs: 60_000 });
        joined++;
      }
    };
    await Promise.all(Array.from({ length: parallelJoins }, joinNext));
    await this.#until("convergence", () => this.#pairs >= wanted, 60_000 + 300 * this.#count);
    show.stop();
    return round(performance.now() - began, 0);
  }

  async #broadcast(): Promise<StartResult["broadcast"]> {
    const sender = this.#pick();
    const latencies: number[] = [];
    let duplicates = 0;
    const heard = new Set<string>();
    const began = performance.now();
    const listeners = this.#seats.map((seat) => {
      const listener = (): void => {
        if (heard.has(seat.name)) duplicates++;
        else latencies.push(performance.now() - began);
        heard.add(seat.name);
        this.#wake?.();
      };
      seat.node.on("message", listener);
      return () => seat.node.off("message", listener);
    });
    const show = this.#progress.every(() => `broadcast: ${heard.size}/${this.#count - 1} nodes have it`);
    sender.node.broadcast(payload);
    await this.#until("the broadcast", () => heard.size >= this.#count - 1, 30_000).catch(forgivePart);
    // Every copy still under way must get the chance to be delivered again.
    const isQuiet = (): boolean => this.#seats.every(({ node }) => node.stats.messageDepth === 0);
    await this.#until("the last copies", isQuiet, 30_000).catch(forgivePart);
    show.stop();
    for (const remove of listeners) remove();
    latencies.sort((a, b) => a - b);
    const at = (share: number): number => round(latencies[Math.ceil(latencies.length * share) - 1] ?? 0, 1);
    return { delivered: latencies.length, duplicates, p50Ms: at(0.5), p99Ms: at(0.99) };
  }

  async #crash(): Promise<StartResult["crash"]> {
    const victim = this.#remove(this.#pick());
    this.#crashed = victim.name;
    const seen = await this.#watch("crash", victim, "fail", () => victim.node.close(), 120_000);
    return { firstMs: seen.firstMs, allMs: seen.allMs, seen: seen.by.size };
  }

  async #leave(): Promise<StartResult["leave"]> {
    const leaver = this.#remove(this.#pick());
    const leave = (): Promise<unknown> => leaver.node.leave();
    const seen = await this.#watch("leave", leaver, "leave", leave, 60_000);
    await leaver.node.close();
    // Whoever takes it for a failure after all must get the chance to say so.
    const isQuiet = (): boolean => this.#seats.every(({ node }) => node.stats.queueDepth === 0);
    await this.#until("the gossip about the leave", isQuiet, 30_000).catch(forgivePart);
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
    this.#onEvent = (event, name, observer) => {
      if (name !== about.name || observer === name) return;
      if (event === "fail") seen.failedBy.add(observer);
      if (event !== kind || seen.by.has(observer)) return;
      seen.allMs = round(performance.now() - began, 1);
      if (seen.by.size === 0) seen.firstMs = seen.allMs;
      seen.by.add(observer);
    };
    const others = this.#seats.length;
    const show = this.#progress.every(() => `${part} of ${about.name}: ${seen.by.size}/${others} nodes know`);
    await act();
    await this.#until(`the ${part}`, () => seen.by.size >= others, limitMs).catch(forgivePart);
    show.stop();
    return seen;
  }

  // --- nodes

  async #openSeat(index: number): Promise<void> {
    const name = `node-${String(index).padStart(4, "0")}`;
    const seed = this.#seed * 10_000 + index;
    const node = await GossipNode.create({
      name,
      bind: `${host}:0`,
      cluster: "tattler-start",
      keys: [this.#key],
      seed,
    });
    this.#seats.push({ index, name, node });
    for (const event of ["join", "fail", "leave", "recover"] as const) {
      node.on(event, (member) => this.#handleEvent(event, member.name, name));
    }
  }

  #handleEvent(event: "join" | "fail" | "leave" | "recover", about: string, observer: string): void {
    if (event === "join" || event === "recover") this.#pairs++;
    else this.#pairs--;
    if (event === "fail" && about !== this.#crashed) this.#falseFailures++;
    this.#onEvent?.(event, about, observer);
    this.#wake?.();
  }

  #pick(): Seat {
    return this.#seats[this.#random.below(this.#seats.length)] as Seat;
  }

  #remove(seat: Seat): Seat {
    const counters = countersOf(seat.node);
    this.#seats.splice(this.#seats.indexOf(seat), 1);
    this.#closedCounters.sent += counters.sent;
    this.#closedCounters.received += counters.received;
    this.#closedCounters.dropped += counters.dropped;
    return seat;
  }

  #packets(): StartResult["packets"] {
    const sum = { ...this.#closedCounters };
    for (const { node } of this.#seats) {
      const counters = countersOf(node);
      sum.sent += counters.sent;
      sum.received += counters.received;
      sum.dropped += counters.dropped;
    }
    return sum;
  }

  /** Waits for events until the condition holds. */
  async #until(part: string, condition: () => boolean, limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition()) {
      if (performance.now() > deadline) throw new PartFailed(`${part} did not end within ${limitMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}

/** Lets the run go on: what is missing shows in the counts, and in the exit code. */
function forgivePart(error: unknown): void {
  if (!(error instanceof PartFailed)) throw error;
  console.error(`tattler: ${error.message}`);
}

function countersOf(node: GossipNode): StartResult["packets"] {
  const { counters } = node.stats;
  let dropped = counters.transmitRingFull + counters.sendErrors;
  for (const [name, value] of Object.entries(counters)) if (name.startsWith("drop")) dropped += value;
  return { sent: counters.datagramsSent, received: counters.datagramsReceived, dropped };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function explain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!/EMFILE|too many open files/i.test(text)) return text;
  return `${text}; a node takes two file descriptors and one for each exchange: raise the limit, ulimit -n 65536`;
}
